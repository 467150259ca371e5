//! The daemon.

use std::{
    env,
    fs::File,
    io::{Read, Write},
    process::ExitCode,
    thread,
    time::Duration,
};

use prefork::{AnyListener, Args, Child, Pools, Waited};
use prefork_bench::bare;
use rustix::time::{ClockId, clock_gettime};

/// Serves with pools, `NAME=PREFORK=MAX_CHILDREN=MS` each, at the ports from 18100 on of the address in the first argument: they
/// sleep for so many milliseconds in each request. `ceiling=N` is one ceiling for all, and `role` adds a role that says when it
/// begins. The second argument is the folder for its files.
pub(crate) fn pools(role: &str) -> ExitCode {
    let mut words = env::args().skip(1);
    let (host, folder) = (words.next().expect("an address"), words.next().expect("a folder"));
    let common = Args::new()
        .name("bench")
        .daemonize(false)
        .scoreboard_in_memory(true)
        .pid_path(format!("{folder}/bench.pid"));
    let mut pools = Pools::new(common);
    let (settings, members): (Vec<_>, Vec<_>) =
        role.split(' ').partition(|word| *word == "role" || word.starts_with("ceiling="));
    for setting in settings {
        pools = match setting.strip_prefix("ceiling=") {
            Some(ceiling) => pools.ceiling(ceiling.parse().expect("a number")),
            None => {
                let witness = format!("{folder}/witness");
                pools.role("role", move |child| act(child, &witness))
            }
        };
    }
    for (port, pool) in (18100..).zip(members) {
        let [name, prefork, max_children, ms] =
            <[&str; 4]>::try_from(pool.split('=').collect::<Vec<_>>()).expect("four words");
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let time = Duration::from_millis(number(ms).into());
        let args = Args::new()
            .listen(format!("{host}:{port}"))
            .prefork(number(prefork))
            .max_children(number(max_children))
            .main_loop(move |child, listener| serve(child, listener, time));
        pools = pools.pool(name, args);
    }
    match pools.run() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(child: &mut Child, listener: &AnyListener, time: Duration) -> prefork::Result {
    let mut buffer = bare::buffer();
    while let Some((mut connection, _)) = child.accept(listener)? {
        if connection.read(&mut buffer).is_ok() {
            if !time.is_zero() {
                thread::sleep(time);
            }
            let _ = connection.write_all(bare::RESPONSE);
        }
    }
    Ok(())
}

/// Writes its pid and the time, and has the role until it is asked to leave.
fn act(child: &mut Child, witness: &str) -> prefork::Result {
    let now = clock_gettime(ClockId::Monotonic);
    let mut file = File::options().create(true).append(true).open(witness)?;
    writeln!(file, "{} {}", std::process::id(), now.tv_sec * 1_000_000 + now.tv_nsec / 1000)?;
    while child.wait(Duration::from_secs(3600))? == Waited::TimedOut {}
    Ok(())
}
