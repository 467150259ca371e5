//! Programs for the kernel's filter of system calls: see `seccomp(2)`.
//!
//! At every fork the kernel translates such a program, and runs it in thought for every call that there is, to know which
//! ones it need not ask about. So the whole is to be short, and the way on which most calls are let through as well: calls are
//! found in a tree of their numbers, and what several of them come to is there once.
//!
//! A program is made from its end, so that whatever a jump leads to is there already.

use nix::libc::{self, sock_filter};

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    /// How many instructions are passed over where a comparison holds, and where it does not.
    yes: u8,
    no: u8,
    operand: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    Number(u32),
    /// The pid of the process that takes the filter.
    OwnPid,
}

impl Instruction {
    /// Returns it as the kernel takes it from this process.
    pub(crate) fn of_process(&self, pid: u32) -> sock_filter {
        let k = match self.operand {
            Operand::Number(number) => number,
            Operand::OwnPid => pid,
        };
        sock_filter { code: self.code, jt: self.yes, jf: self.no, k }
    }
}

/// A place in a program, by how many instructions there are from it to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// A program in the making, its last instruction first.
#[derive(Debug, Default)]
pub(crate) struct Builder(Vec<Instruction>);

/// How far a comparison can lead; one less than fits, for the instruction that leads on.
const NEAR: usize = u8::MAX as usize - 1;

impl Builder {
    /// Ends with this answer.
    pub(crate) fn answer(&mut self, answer: u32) -> Label {
        self.push(libc::BPF_RET | libc::BPF_K, (0, 0), Operand::Number(answer))
    }

    /// Reads four bytes of what the kernel knows of a call, goes on with what was added last.
    pub(crate) fn read(&mut self, at: usize) -> Label {
        let at = u32::try_from(at).expect("a call's data is of some bytes");
        self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, (0, 0), Operand::Number(at))
    }

    /// Goes on at one place if what was read equals this, at the other one if not.
    pub(crate) fn if_equal(&mut self, operand: Operand, yes: Label, no: Label) -> Label {
        self.compare(libc::BPF_JEQ, operand, yes, no)
    }

    /// Goes on where the number that was read belongs, or at the other place if it is none of these, which are in order.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub(crate) fn find(&mut self, numbers: &[(u32, Label)], other: Label) -> Label {
        if let [(number, found)] = numbers {
            return self.if_equal(Operand::Number(*number), *found, other);
        }
        let (low, high) = numbers.split_at(numbers.len() / 2);
        let first = Operand::Number(high[0].0);
        let high = self.find(high, other);
        let low = self.find(low, other);
        self.compare(libc::BPF_JGE, first, high, low)
    }

    /// Returns the program.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        self.0.reverse();
        self.0
    }

    fn compare(&mut self, how: u32, operand: Operand, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        let distance = |label| u8::try_from(self.distance(label)).expect("it is near");
        let distances = (distance(yes), distance(no));
        self.push(libc::BPF_JMP | how | libc::BPF_K, distances, operand)
    }

    /// Returns a place from which one goes on at this one, near enough for a comparison.
    fn near(&mut self, label: Label) -> Label {
        let distance = self.distance(label);
        if distance < NEAR {
            return label;
        }
        let distance = u32::try_from(distance).expect("programs are short");
        self.push(libc::BPF_JMP | libc::BPF_JA, (0, 0), Operand::Number(distance))
    }

    /// How many instructions the one that is added next passes over to get there.
    const fn distance(&self, label: Label) -> usize {
        self.0.len() - label.0
    }

    fn push(&mut self, code: u32, (yes, no): (u8, u8), operand: Operand) -> Label {
        let code = u16::try_from(code).expect("codes are of one byte");
        self.0.push(Instruction { code, yes, no, operand });
        Label(self.0.len())
    }
}
