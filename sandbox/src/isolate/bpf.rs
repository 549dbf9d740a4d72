//! A small assembler for seccomp programs: per system call a list of conditions on its arguments, first match answers.
//!
//! Pure. Only the low half of an argument is looked at unless a condition names the high one: the kernel reads flags,
//! families and commands as 32-bit numbers, so the high half cannot hide anything from it.

use libc::sock_filter;

/// What becomes of a call instead of being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It fails with this number; zero for success.
    Fail(i32),
    /// It waits until whoever holds the listener of the filter has answered.
    Ask,
}

impl Answer {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Fail(errno) => {
                libc::SECCOMP_RET_ERRNO | (errno.cast_unsigned() & libc::SECCOMP_RET_DATA)
            }
            Self::Ask => libc::SECCOMP_RET_USER_NOTIF,
        }
    }
}

/// A half of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// Bits 0 to 31 of argument N (0 to 5).
    Low(u8),
    /// Bits 32 to 63.
    High(u8),
}

impl Half {
    /// Where it lies in `struct seccomp_data`, on a little-endian machine.
    fn offset(self) -> u32 {
        match self {
            Self::Low(argument) => 16 + 8 * u32::from(argument),
            Self::High(argument) => 20 + 8 * u32::from(argument),
        }
    }
}

/// A condition on one half of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// It has this value under the mask.
    Is(Half, u32, u32),
    /// It has another value under the mask.
    IsNot(Half, u32, u32),
    /// It has at least one of these bits.
    Has(Half, u32),
}

/// An answer for one system call when every condition holds; without conditions, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) call: libc::c_long,
    pub(crate) when: Vec<When>,
    pub(crate) answer: Answer,
}

/// The program for `rules`. What no rule answers is allowed; a foreign architecture or number space kills.
pub(crate) fn assemble(rules: &[Rule]) -> Vec<sock_filter> {
    let mut program = vec![
        load(4),
        jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(0),
    ];
    if let Some(first) = FIRST_FOREIGN_NUMBER {
        program.extend([jump(libc::BPF_JGE, first, 0, 1), answer(libc::SECCOMP_RET_KILL_PROCESS)]);
    }
    let mut calls: Vec<libc::c_long> = Vec::new();
    for rule in rules {
        if !calls.contains(&rule.call) {
            calls.push(rule.call);
        }
    }
    for call in calls {
        let Ok(number) = u32::try_from(call) else { continue };
        let block = block(rules.iter().filter(|rule| rule.call == call));
        // Blocks are short: the longest has some fifty instructions, and a test holds it.
        let over = u8::try_from(block.len()).unwrap_or(u8::MAX);
        program.push(jump(libc::BPF_JEQ, number, 0, over));
        program.extend(block);
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

/// What runs for one system call; always ends in an answer, and leaves no number in the accumulator that is used later.
fn block<'a>(rules: impl Iterator<Item = &'a Rule>) -> Vec<sock_filter> {
    let mut block = Vec::new();
    for rule in rules {
        let body = body(rule);
        block.extend(body);
        if rule.when.is_empty() {
            return block;
        }
    }
    block.push(answer(libc::SECCOMP_RET_ALLOW));
    block
}

fn body(rule: &Rule) -> Vec<sock_filter> {
    let mut reversed = vec![answer(rule.answer.code())];
    // From the last condition to the first, so that each knows how far it is to the end of the rule.
    for condition in rule.when.iter().rev() {
        let out = u8::try_from(reversed.len()).unwrap_or(u8::MAX);
        let (half, mask, test) = match *condition {
            When::Is(half, mask, value) => (half, mask, jump(libc::BPF_JEQ, value, 0, out)),
            When::IsNot(half, mask, value) => (half, mask, jump(libc::BPF_JEQ, value, out, 0)),
            When::Has(half, bits) => (half, u32::MAX, jump(libc::BPF_JSET, bits, 0, out)),
        };
        reversed.push(test);
        if mask != u32::MAX {
            reversed.push(instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask, 0, 0));
        }
        reversed.push(load(half.offset()));
    }
    reversed.reverse();
    reversed
}

#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xc000_00b7;

/// Numbers from here on belong to the x32 interface, which answers under the same architecture.
#[cfg(target_arch = "x86_64")]
pub(crate) const FIRST_FOREIGN_NUMBER: Option<u32> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const FIRST_FOREIGN_NUMBER: Option<u32> = None;

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

fn answer(code: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, code, 0, 0)
}

fn jump(test: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    instruction(libc::BPF_JMP | test | libc::BPF_K, value, yes, no)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Every operation code of classic BPF has at most eight bits.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}

#[cfg(test)]
pub(crate) mod tests;
