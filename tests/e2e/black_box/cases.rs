//! The fifty cases that users of OpenShell know a sandbox and its router by, and the test that tells each.
//!
//! Invariant: each is told by a test that exists, or says why it is not.

use std::fs;

use openshell_tests::environment;

/// Each case with the tests that tell it, as `file::test` of the folder above; where there is none, the reason.
const CASES: [(u8, &[&str], &str); 50] = [
    (1, &["egress::an_empty_policy_opens_nothing_and_says_so"], "an empty policy opens nothing"),
    (2, &["black_box::every_usual_client_is_let_through_and_refused_alike"], "/** is every binary"),
    (3, &["black_box::every_usual_client_is_let_through_and_refused_alike"], "another host"),
    (4, &["black_box::a_binary_that_is_not_listed_is_refused_by_its_real_path"], "another binary"),
    (
        5,
        &["egress::a_block_opens_its_host_and_port_to_its_binaries_and_nothing_else"],
        "another port",
    ),
    (
        6,
        &["egress::a_block_opens_its_host_and_port_to_its_binaries_and_nothing_else"],
        "no cross product",
    ),
    (
        7,
        &["black_box::a_request_in_absolute_form_is_held_to_port_scheme_and_rules"],
        "absolute form, port 80",
    ),
    (
        8,
        &["egress::no_policy_leads_to_this_machine_its_metadata_or_a_private_network_by_accident"],
        "loopback",
    ),
    (
        9,
        &["egress::no_policy_leads_to_this_machine_its_metadata_or_a_private_network_by_accident"],
        "metadata",
    ),
    (
        10,
        &["egress::a_block_opens_its_host_and_port_to_its_binaries_and_nothing_else"],
        "allowed_ips",
    ),
    (
        11,
        &["egress::no_policy_leads_to_this_machine_its_metadata_or_a_private_network_by_accident"],
        "no host",
    ),
    (
        12,
        &["egress::no_policy_leads_to_this_machine_its_metadata_or_a_private_network_by_accident"],
        "an address",
    ),
    (13, &["black_box::what_no_policy_may_say_makes_no_sandbox"], "loopback in allowed_ips"),
    (
        14,
        &["egress::a_block_opens_its_host_and_port_to_its_binaries_and_nothing_else"],
        "a list of ports",
    ),
    (
        15,
        &["egress::wildcards_stand_for_one_label_and_never_for_the_domain_itself"],
        "*.example.com",
    ),
    (16, &["black_box::what_no_policy_may_say_makes_no_sandbox"], "* and *.com"),
    (17, &["black_box::full_access_over_tls_takes_every_method"], "access: full"),
    (
        18,
        &["black_box::every_usual_client_is_let_through_and_refused_alike"],
        "read-only, enforced",
    ),
    (
        19,
        &["black_box::what_is_only_audited_is_let_through_and_on_record_as_such"],
        "read-only, audited",
    ),
    (20, &["egress::requests_are_held_to_rules_on_their_canonical_path"], "rules on paths"),
    (
        21,
        &["egress::requests_are_held_to_rules_on_their_canonical_path", "attacks::attack"],
        "path tricks",
    ),
    (22, &["egress::requests_are_held_to_rules_on_their_canonical_path"], "rules on the query"),
    (23, &["egress::ready_sets_of_rules_mean_what_they_say_and_denials_win"], "deny rules"),
    (24, &["attacks::attack"], "smuggling: the layer of that name"),
    (
        25,
        &["black_box::a_request_in_absolute_form_is_held_to_port_scheme_and_rules"],
        "absolute form, https",
    ),
    (
        26,
        &["black_box::a_request_in_absolute_form_is_held_to_port_scheme_and_rules"],
        "absolute form, rules",
    ),
    (
        27,
        &["black_box::a_request_in_absolute_form_is_held_to_port_scheme_and_rules"],
        "a second request",
    ),
    (
        28,
        &["black_box::what_ignores_the_proxy_is_refused_at_once_and_on_record"],
        "around the proxy",
    ),
    (29, &["egress::what_ignores_the_proxy_lands_in_it_anyway"], "its own loopback"),
    (
        30,
        &["egress::a_policy_changes_under_a_running_sandbox_and_only_in_its_hot_part"],
        "a hot change",
    ),
    (
        31,
        &["egress::a_policy_changes_under_a_running_sandbox_and_only_in_its_hot_part"],
        "a fixed part",
    ),
    (32, &["black_box::what_no_policy_may_say_makes_no_sandbox"], "root, .., /"),
    (33, &[], "a policy over all sandboxes belongs to the gateway"),
    (34, &["black_box::files_and_rights_are_those_of_the_usual_sandbox"], "files"),
    (
        35,
        &["black_box::files_and_rights_are_those_of_the_usual_sandbox", "attacks::attack"],
        "rights",
    ),
    (
        36,
        &["providers::a_sandbox_uses_a_credential_that_it_never_sees_and_only_where_it_belongs"],
        "credentials",
    ),
    (
        37,
        &["inference::agents_reach_the_model_that_was_set_with_nothing_configured"],
        "model calls",
    ),
    (
        38,
        &[
            "inference::there_is_one_router_and_it_is_found_stopped_and_started_again",
            "bad_input_costs_little::a_body_above_the_limit",
        ],
        "model calls that cannot be",
    ),
    (
        39,
        &["every_stream_ends_once::wherever_the_upstream_breaks_off"],
        "streams that pause and break",
    ),
    (
        40,
        &["black_box::a_model_api_that_a_policy_opens_is_not_taken_to_the_router"],
        "a model API by its name",
    ),
    (
        41,
        &["inference::what_does_not_work_never_replaces_what_does_and_a_file_by_hand_stays"],
        "inference set",
    ),
    (42, &["sandboxes::programs_have_their_own_streams_codes_and_signals"], "exec"),
    (43, &["sandboxes::files_go_in_and_come_out_and_never_elsewhere"], "upload and download"),
    (44, &["black_box::a_port_is_forwarded_once"], "forward"),
    (45, &[], "the gateway"),
    (46, &[], "the gateway"),
    (47, &[], "the gateway"),
    (
        48,
        &["black_box::of_policies_that_overlap_the_smallest_name_is_told_every_time"],
        "overlapping policies",
    ),
    (49, &["black_box::a_binary_that_was_replaced_is_refused_for_good"], "a replaced binary"),
    (
        50,
        &["reload::a_thousand_streams_of_a_sandbox_go_on_while_their_route_changes"],
        "streams while routes change",
    ),
];

#[test]
fn every_case_has_its_test() {
    let mut numbers: Vec<u8> = CASES.iter().map(|(number, _, _)| *number).collect();
    numbers.dedup();
    assert_eq!(numbers, (1..=50).collect::<Vec<u8>>());
    for (number, tests, what) in CASES {
        assert!(!what.is_empty());
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            let file = environment::repository().join("tests/e2e").join(format!("{file}.rs"));
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(&format!("fn {name}(")), "case {number} ({what}): no {test}");
        }
    }
}
