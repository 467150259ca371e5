//! Programs are run here as the kernel runs them, and compared with what the guide to isolation says of each call.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "words of what a filter reads"
)]

use nix::libc::{c_long, sock_filter};

use super::*;

const HERE: u32 = 0xC000_003E;
const OWN: u64 = 4711;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | 1;

/// Runs a program; returns its answer, and after how many instructions.
fn run(program: &[sock_filter], data: &seccomp_data) -> (u32, usize) {
    let word = |at: u32| {
        let args = data.args.iter().flat_map(|arg| [*arg as u32, (*arg >> 32) as u32]);
        let instruction = [data.instruction_pointer as u32, 0];
        let words = [data.nr as u32, data.arch].into_iter().chain(instruction).chain(args);
        words.into_iter().nth(at as usize / 4).expect("of the data")
    };
    let (mut at, mut read) = (0, 0);
    for count in 1..=program.len() {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => read = word(k),
            0x15 => jump(read == k),
            0x35 => jump(read >= k),
            0x05 => at += k as usize,
            0x06 => return (k, count),
            _ => panic!("no instruction that the kernel runs in thought: {code:#x}"),
        }
    }
    panic!("it runs backwards");
}

fn program(isolation: &Isolation, has_x32: bool) -> Vec<sock_filter> {
    let filter = Filter::on(isolation, HERE, has_x32).expect("something is refused");
    filter.0.iter().map(|it| it.of_process(OWN as u32)).collect()
}

fn call(number: u32, args: [u64; 6]) -> seccomp_data {
    seccomp_data { nr: number as i32, arch: HERE, instruction_pointer: 0, args }
}

/// What the guide says, in other words than the filter's.
fn is_refused(isolation: &Isolation, number: c_long, args: [u64; 6]) -> bool {
    let is_own = |argument: u64| [0, OWN].contains(&(argument & 0xFFFF_FFFF));
    let [a, b, c, ..] = args;
    let by_scheduling = match number {
        libc::SYS_sched_setaffinity => isolation.wants(Layer::Cpus) || !is_own(a),
        libc::SYS_sched_setscheduler | libc::SYS_sched_setparam | libc::SYS_sched_setattr => {
            !is_own(a)
        }
        libc::SYS_prlimit64 => c != 0 && !is_own(a),
        libc::SYS_setpriority => a & 0xFFFF_FFFF == 2 || !is_own(b),
        libc::SYS_ioprio_set => a & 0xFFFF_FFFF == 3 || !is_own(b),
        _ => false,
    };
    let by_network = match number {
        libc::SYS_socket => a & 0xFFFF_FFFF != libc::AF_UNIX as u64,
        libc::SYS_io_uring_setup => true,
        _ => false,
    };
    let by_name = match isolation.wanted.get(&Layer::Deny).map(|wanted| &wanted.value) {
        Some(Value::Calls(calls)) => calls.iter().any(|call| call.number() == number),
        _ => false,
    };
    isolation.wants(Layer::Scheduling) && by_scheduling
        || isolation.wants(Layer::NoNetwork) && by_network
        || by_name
}

/// All combinations of what is by a filter, those of one denied call and of all.
fn arb_isolations() -> Vec<Isolation> {
    let all = |it: Isolation| Isolation::denied_calls().try_fold(it, Isolation::deny);
    let mut made = Vec::new();
    for choice in 1..16 {
        let mut it = Isolation::new();
        if choice & 1 != 0 {
            it = it.require(Layer::Scheduling);
        }
        if choice & 2 != 0 {
            it = it.no_network();
        }
        if choice & 4 != 0 {
            it = it.deny("ptrace").expect("there").deny("socket").expect("there");
        }
        if choice & 8 != 0 {
            it = all(it).expect("there");
        }
        made.extend((choice & 1 != 0).then(|| it.clone().cpu(0)));
        made.push(it);
    }
    made
}

#[test]
fn every_call_comes_to_what_the_guide_says() {
    let values = [0, 1, 2, 3, OWN, 1 << 32, (1 << 32) | OWN];
    let mut seen = [0; 2];
    for isolation in arb_isolations() {
        for has_x32 in [false, true] {
            let program = program(&isolation, has_x32);
            for number in 0..600 {
                // What is never refused need not be tried with all of them.
                let is_looked_at = is_refused(&isolation, number, [3; 6]);
                let values = &values[..if is_looked_at { values.len() } else { 1 }];
                for (a, b) in values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))) {
                    for c in values {
                        let args = [a, b, *c, 0, 0, 0];
                        let is_refused = is_refused(&isolation, number, args);
                        let expected = if is_refused { REFUSE } else { ALLOW };
                        seen[usize::from(is_refused)] += 1;
                        let number = number as u32;
                        let (answer, _) = run(&program, &call(number, args));
                        assert_eq!(answer, expected, "{isolation}: call {number} {args:?}");
                        let (of_x32, _) = run(&program, &call(number | X32, args));
                        let expected = if has_x32 { expected } else { ALLOW };
                        assert_eq!(of_x32, expected, "{isolation}: x32 call {number} {args:?}");
                    }
                }
            }
        }
    }
    assert!(seen.into_iter().all(|count| count > 100), "both were seen: {seen:?}");
}

#[test]
fn calls_by_another_architecture_end_the_process() {
    for isolation in arb_isolations() {
        let other = seccomp_data { arch: 0x4000_0003, ..call(1, [0; 6]) };
        assert_eq!(run(&program(&isolation, true), &other), (libc::SECCOMP_RET_KILL_PROCESS, 3));
    }
}

/// What a fork costs goes with both.
#[test]
fn it_is_short_and_most_calls_are_let_through_soon() {
    let longest = |program: &[sock_filter]| {
        let calls = (0..500).map(|number| run(program, &call(number, [0; 6])));
        calls.filter(|(answer, _)| *answer == ALLOW).map(|(_, count)| count).max()
    };
    let siblings = program(&Isolation::new().siblings_apart(), false);
    assert!(siblings.len() <= 40, "{} instructions", siblings.len());
    // Those that are looked at included.
    assert!(longest(&siblings) <= Some(14), "{:?}", longest(&siblings));
    let denied = Isolation::denied_calls().try_fold(Isolation::new(), Isolation::deny);
    let denied = program(&denied.expect("there"), false);
    assert!(longest(&denied) <= Some(11), "{:?}", longest(&denied));
}

#[test]
fn where_no_call_is_refused_there_is_no_filter() {
    assert_eq!(Filter::on(&Isolation::new().not_dumpable(), HERE, false), None);
}

#[test]
fn every_number_is_found_among_more_than_a_comparison_can_pass_over() {
    let mut builder = Builder::default();
    let other = builder.answer(0);
    let numbers: Vec<_> = (1..=1000).map(|number| (2 * number, builder.answer(number))).collect();
    builder.find(&numbers, other);
    builder.read(offset_of!(seccomp_data, nr));
    let program: Vec<_> = builder.finish().iter().map(|it| it.of_process(0)).collect();
    for number in 0..2010 {
        let is_there = number % 2 == 0 && number <= 2000;
        let expected = if is_there { number / 2 } else { 0 };
        let (answer, count) = run(&program, &call(number, [0; 6]));
        assert_eq!(answer, expected, "{number}");
        assert!(count <= 30, "{number}: {count} instructions");
    }
}
