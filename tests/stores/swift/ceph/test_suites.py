"""Suites of the Swift store on a real Ceph RGW, but for what only OpenStack Swift has.

What Ceph does otherwise is tested in the modules beside this one.
"""

from __future__ import annotations

from tests.stores.swift import (
    test_changing,
    test_gc,
    test_interop,
    test_looking,
    test_ranged,
    test_segments,
    test_sigkill,
    test_syncing,
    test_two_machines,
)
from tests.stores.swift.killing import Story
from tests.stores.swift.test_interop import tool
from tests.stores.swift.test_sigkill import seed, story
from tests.stores.swift.test_syncing import machine

__all__ = ["Story", "machine", "seed", "story", "tool"]

OTHERWISE = {
    # There are no versions, no links of Swift's own, no late listings and no pages of another length.
    "test_where_versions_are_kept_an_overtaken_edit_becomes_a_conflict_copy",
    "test_where_versions_are_kept_an_edit_right_before_a_delete_becomes_a_copy",
    "test_older_versions_keep_their_segments",
    "test_a_large_edit_that_ours_overtook_is_kept_where_there_are_versions",
    "test_large_objects_and_links_of_other_tools_are_read_whole",
    "test_a_listing_that_lags_behind_a_rename_costs_nothing",
    "test_nothing_is_lost_and_all_converges",
    "test_nothing_is_lost_in_a_long_story",
    "test_directories_are_cut_from_many_pages",
    "test_a_run_with_nothing_to_do_asks_for_pages_only",
    "test_the_trash_is_jumped_over",
    # Manifests have neither ranges nor bytes of their own, and cannot be read: see test_deltas and test_gc.
    "test_only_what_changed_is_fetched",
    "test_the_next_change_is_fetched_the_same_way_in_either_direction",
    "test_a_broken_off_transfer_is_gone_on_with",
    "test_a_large_object_of_another_tool_is_fetched_by_what_changed_too",
    "test_an_edit_sends_what_is_new",
    "test_another_machine_that_read_it_sends_what_is_new_as_well",
    "test_many_edits_stay_within_the_limits_and_read_back",
    "test_small_parts_are_not_held_up_by_the_cluster",
    "test_an_upload_that_died_before_its_manifest_is_gone_on_with",
    "test_an_upload_that_died_among_its_segments_is_gone_on_with",
    "test_large_objects_of_other_tools_are_read_and_never_built_upon",
    "test_on_a_cluster_without_ranges_whole_segments_are_reused",
    "test_a_manifest_that_cannot_be_read_ends_the_search",
    "test_segments_of_other_tools_are_not_ours_to_remove",
    "test_the_trash_keeps_old_segments_alive_until_it_is_emptied",
    "test_the_command_lists_and_removes_with_yes_only",
    "test_where_the_listing_does_not_tell_large_objects_each_is_asked",
    # How the service behaves has no part in these, and they take long.
    "test_a_run_survives_a_proxy_that_misbehaves_now_and_then",
    "test_a_run_with_nothing_to_do_takes_as_many_requests_as_pages_and_five",
    # A large object with a segment missing is 404: see test_missing_segments.
    "test_segments_deleted_under_us_are_sent_again",
    "test_segments_that_were_deleted_under_us_are_trouble_not_content",
}
for module in (
    test_changing,
    test_gc,
    test_interop,
    test_looking,
    test_ranged,
    test_segments,
    test_sigkill,
    test_syncing,
    test_two_machines,
):
    found = {n: t for n, t in vars(module).items() if n.startswith("test_") and n not in OTHERWISE}
    found = {n: t for n, t in found.items() if t.__module__ == module.__name__}
    globals().update(found)
