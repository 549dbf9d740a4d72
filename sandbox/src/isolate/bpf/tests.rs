use proptest::prelude::*;

use super::*;

/// What the kernel sees of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) arch: u32,
    pub(crate) number: u32,
    pub(crate) arguments: [u64; 6],
}

/// Runs a program as the kernel does. Panics where the kernel would refuse the program.
pub(crate) fn run(program: &[sock_filter], call: Call) -> u32 {
    let mut data = Vec::new();
    data.extend(call.number.to_le_bytes());
    data.extend(call.arch.to_le_bytes());
    data.extend([0; 8]);
    for argument in call.arguments {
        data.extend(argument.to_le_bytes());
    }
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let now = program[at];
        let code = u32::from(now.code);
        let mut skip = 0;
        if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS {
            let from = usize::try_from(now.k).unwrap();
            accumulator = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
        } else if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K {
            accumulator &= now.k;
        } else if code == libc::BPF_RET | libc::BPF_K {
            return now.k;
        } else {
            let holds = match code & !(libc::BPF_JMP | libc::BPF_K) {
                test if test == libc::BPF_JEQ => accumulator == now.k,
                test if test == libc::BPF_JGE => accumulator >= now.k,
                test if test == libc::BPF_JSET => accumulator & now.k != 0,
                other => panic!("no such test: {other:#x}"),
            };
            skip = usize::from(if holds { now.jt } else { now.jf });
        }
        at += 1 + skip;
    }
}

/// What the rules mean, said without a program.
fn meaning(rules: &[Rule], call: Call) -> u32 {
    let foreign = FIRST_FOREIGN_NUMBER.is_some_and(|first| call.number >= first);
    if call.arch != ARCHITECTURE || foreign {
        return libc::SECCOMP_RET_KILL_PROCESS;
    }
    let part = |half| match half {
        Half::Low(at) => u32::try_from(call.arguments[usize::from(at)] & 0xffff_ffff).unwrap(),
        Half::High(at) => u32::try_from(call.arguments[usize::from(at)] >> 32).unwrap(),
    };
    let holds = |when: &When| match *when {
        When::Is(half, mask, value) => part(half) & mask == value,
        When::IsNot(half, mask, value) => part(half) & mask != value,
        When::Has(half, bits) => part(half) & bits != 0,
    };
    rules
        .iter()
        .find(|rule| rule.call == libc::c_long::from(call.number) && rule.when.iter().all(holds))
        .map_or(libc::SECCOMP_RET_ALLOW, |rule| rule.answer.code())
}

fn halves() -> impl Strategy<Value = Half> {
    prop_oneof![(0..6_u8).prop_map(Half::Low), (0..6_u8).prop_map(Half::High)]
}

fn conditions() -> impl Strategy<Value = When> {
    let mask = prop_oneof![Just(u32::MAX), Just(0xf), Just(0x7)];
    prop_oneof![
        (halves(), mask.clone(), 0..8_u32)
            .prop_map(|(half, mask, value)| When::Is(half, mask, value)),
        (halves(), mask, 0..8_u32).prop_map(|(half, mask, value)| When::IsNot(half, mask, value)),
        (halves(), 1..16_u32).prop_map(|(half, bits)| When::Has(half, bits)),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (0..6_i64, prop::collection::vec(conditions(), 0..4), 1..40_i32)
        .prop_map(|(call, when, errno)| Rule { call, when, answer: Answer::Fail(errno) });
    prop::collection::vec(rule, 0..12)
}

proptest! {
    #[test]
    fn the_program_answers_as_the_rules_say(
        rules in rules(),
        number in prop_oneof![0..8_u32, Just(0x4000_0001), Just(u32::MAX)],
        arch in prop_oneof![9 => Just(ARCHITECTURE), 1 => any::<u32>()],
        arguments in prop::array::uniform6(prop_oneof![0..16_u64, any::<u64>(), (0..16_u64).prop_map(|high| high << 32)]),
    ) {
        let call = Call { arch, number, arguments };
        prop_assert_eq!(run(&assemble(&rules), call), meaning(&rules, call));
    }
}
