use super::*;

fn opened() -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..FAILURES_MAX {
        breaker.record(Sign::Ill, 0);
    }
    breaker
}

#[test]
fn it_opens_after_failures_in_a_row_only() {
    let mut breaker = Breaker::default();
    for sign in [Sign::Ill, Sign::Ill, Sign::Well, Sign::Ill, Sign::Ill] {
        breaker.record(sign, 0);
    }
    assert!(breaker.usable(0));
    breaker.record(Sign::Ill, 0);
    assert!(!breaker.usable(OPEN_MS_MIN - 1));
    assert_eq!(breaker.condition(), Condition::Open);
}

#[test]
fn one_call_tries_and_its_outcome_decides() {
    let mut breaker = opened();
    assert!(breaker.admit(OPEN_MS_MIN));
    assert!(!breaker.admit(OPEN_MS_MIN), "a second one waits");
    breaker.record(Sign::Ill, 6_000);
    assert!(!breaker.usable(6_000 + 2 * OPEN_MS_MIN - 1), "the wait doubles");
    assert!(breaker.admit(6_000 + 2 * OPEN_MS_MIN));
    breaker.record(Sign::Well, 17_000);
    assert_eq!(breaker, Breaker::default());
}

#[test]
fn a_try_that_says_nothing_lets_the_next_one_try() {
    let mut breaker = opened();
    assert!(breaker.admit(OPEN_MS_MIN));
    breaker.record(Sign::Nothing, OPEN_MS_MIN);
    assert!(breaker.admit(OPEN_MS_MIN));
    assert!(breaker.usable(OPEN_MS_MIN + TRIAL_MS_MAX + 1), "a lost try is forgotten");
}

#[test]
fn a_backend_that_asks_for_time_gets_it_within_reason() {
    let mut breaker = Breaker::default();
    breaker.rest(Duration::from_secs(10), 1_000);
    assert!(!breaker.admit(10_999) && breaker.admit(11_000));
    breaker.rest(Duration::MAX, 0);
    assert!(breaker.usable(REST_MS_MAX) && !breaker.usable(REST_MS_MAX - 1));
}

#[test]
fn a_refused_credential_closes_a_backend_out_for_longer() {
    let mut breaker = Breaker::default();
    breaker.record(Sign::Unauthorized, 0);
    assert!(!breaker.usable(LOCKED_MS_MIN - 1) && breaker.usable(LOCKED_MS_MIN));
    assert_eq!(breaker.out(0), Some((Cause::Credential, LOCKED_MS_MIN)));
    assert!(breaker.admit(LOCKED_MS_MIN));
    breaker.record(Sign::Unauthorized, LOCKED_MS_MIN);
    assert!(!breaker.usable(3 * LOCKED_MS_MIN - 1), "the wait doubles");
    let mut now = LOCKED_MS_MIN;
    for _ in 0..10 {
        now += LOCKED_MS_MAX;
        assert!(breaker.admit(now), "the wait is bounded");
        breaker.record(Sign::Unauthorized, now);
    }
    breaker.record(Sign::Well, now);
    assert_eq!(breaker, Breaker::default());
}

#[test]
fn one_forbidden_request_is_no_proof_and_three_are() {
    let mut breaker = Breaker::default();
    for sign in [Sign::Forbidden, Sign::Forbidden, Sign::Well, Sign::Forbidden, Sign::Forbidden] {
        breaker.record(sign, 0);
    }
    assert!(breaker.usable(0), "callers can be forbidden things, too");
    breaker.record(Sign::Forbidden, 0);
    assert_eq!(breaker.out(0), Some((Cause::Credential, LOCKED_MS_MIN)));
}

#[test]
fn a_missing_model_leaves_the_others_alone_and_a_reload_forgives() {
    let health = Health::default();
    health.lacks("b", "m", 0);
    assert!(!health.serves("b", "m", MISSING_MS - 1) && health.serves("b", "m", MISSING_MS));
    assert!(health.serves("b", "other", 0) && health.usable("b", 0));
    assert!(health.record("b", Sign::Unauthorized, 0), "this closed it out");
    assert!(!health.record("b", Sign::Unauthorized, 0), "this said nothing new");
    let out: Vec<_> = health.out(0).into_iter().map(|out| (out.model, out.cause)).collect();
    assert_eq!(out, [(None, Cause::Credential), (Some("m".to_owned()), Cause::ModelMissing)]);
    health.reloaded(|_| true);
    assert!(health.serves("b", "m", 0));
    assert_eq!(health.out(0), []);
}

#[test]
fn the_wait_never_exceeds_its_bound() {
    let (mut breaker, mut now) = (opened(), 0);
    for _ in 0..10 {
        now += OPEN_MS_MAX;
        assert!(breaker.admit(now));
        breaker.record(Sign::Ill, now);
    }
    assert!(breaker.usable(now + OPEN_MS_MAX));
}
