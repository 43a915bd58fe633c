//! The tests that every implementation of the store contract passes, as functions over a [`Fixture`].
//!
//! An implementation writes a [`StoreFactory`] and calls [`conformance_tests!`], which makes one `#[tokio::test]` for
//! each rule. Rows such as `p12` in the names of tests are rows of docs/internals/regressions.md.

#![allow(clippy::unwrap_used)]

mod accounts;
mod catch_up;
mod changes;
mod convergence;
mod conversations;
mod fixture;
mod history;
mod membership;
mod mentions;
mod messages;
mod recording;
mod rooms;
mod site;
mod strangers;
mod users;

pub use fixture::*;
pub use recording::{MessageCommit, RecordingSink};

/// Calls a macro with its arguments and all rules. This list is the only one: a rule that is missing here is dead code.
#[doc(hidden)]
#[macro_export]
macro_rules! with_all_rules {
    ($make:path, $($arguments:tt)*) => {
        $make! { [$($arguments)*]
        strangers: [
            a_strangers_invite_waits_until_it_is_accepted,
            a_declined_invite_does_not_come_again_but_from_a_friend,
            a_user_who_shares_a_private_room_or_was_written_to_is_no_stranger,
            a_strangers_direct_room_is_a_request_until_it_is_answered,
            a_declined_request_is_hidden_from_its_addressee_alone,
            an_invite_counts_while_its_inviter_is_in_the_room_whatever_its_answer,
            the_author_of_a_declined_request_sees_no_read_mark_move,
            requests_come_after_conversations_and_are_counted_apart,
            new_strangers_are_bounded_in_a_day_also_after_a_restart,
            the_bound_of_rooms_counts_at_accept_and_old_invites_give_way,
        ]
        messages: [
            a_message_is_stored_as_sent_and_published_as_stored,
            h11_the_senders_address_is_never_published,
            h12_fifty_senders_at_once_are_published_in_history_order_without_a_hole,
            times_never_decrease_when_the_clock_jumps_back,
            p12_the_same_client_id_gives_the_first_answer_for_ever,
            p12_the_same_client_id_at_once_is_stored_once_and_skips_no_version,
            p12_the_same_client_id_for_another_message_is_a_conflict,
            a_refused_message_has_a_reason_and_changes_nothing,
            a_system_message_needs_no_membership_and_no_direct_room_takes_it,
            p6_p7_history_pages_by_message_miss_and_repeat_nothing,
            p6_p7_a_deleted_message_is_left_out_but_is_a_valid_position,
            h9_pages_by_seq_show_each_message_once_and_report_earlier_deletions,
            any_text_is_plain_text,
            an_append_whose_future_is_dropped_is_committed_and_published,
            a_new_nickname_shows_on_earlier_messages,
            a_closed_store_refuses_and_reopens_with_everything_in_it,
        ]
        changes: [
            an_edit_is_published_and_takes_the_next_version,
            an_edit_is_not_dated_before_the_message,
            only_the_author_edits_and_only_while_they_can_write_there,
            p15_a_deletion_is_published_and_takes_the_next_version,
            p15_a_moderator_deletes_in_rooms_but_not_in_direct_rooms_of_others,
            authors_delete_while_muted_but_not_after_they_left_a_private_room,
            a_reaction_is_published_with_all_counts_and_takes_the_next_version,
            only_members_who_can_write_react_and_only_to_existing_messages,
            the_number_of_different_reactions_is_bounded_but_not_their_counts,
        ]
        mentions: [
            members_are_mentioned_by_name_regardless_of_case,
            only_members_of_the_room_are_mentioned_there,
            an_edit_has_the_mentions_of_the_new_content,
            a_flood_of_names_stays_plain_text,
        ]
        history: [
            history_by_seq_starts_anywhere_and_goes_in_either_direction,
            a_page_by_seq_has_deleted_messages_and_the_readers_own_reactions,
            everybody_reads_public_rooms_and_only_members_read_others,
            a_page_ends_where_its_bytes_end_and_has_at_least_one_message,
            lists_of_users_end_where_their_bytes_end,
        ]
        catch_up: [
            p14_a_catch_up_is_complete_and_paged_however_long_it_is,
            too_many_changes_or_a_version_from_the_future_reset_the_room,
            a_page_and_the_rooms_version_are_one_snapshot_while_others_write,
            pages_and_resets_converge_on_the_stored_room_whatever_changes,
        ]
        convergence: [
            a_listener_that_applies_all_commits_sees_what_a_fresh_read_shows,
        ]
        rooms: [
            a_new_room_has_its_owner_in_it_and_is_published_to_the_owner,
            names_of_rooms_are_unique_regardless_of_case,
            owners_change_a_rooms_name_and_title,
            a_welcome_shows_every_room_as_its_member_sees_it,
            the_entries_of_several_members_show_the_room_as_each_of_them_sees_it,
            a_direct_room_is_listed_with_its_first_message_or_for_the_opener,
            a_first_direct_message_lists_the_room_for_both_before_the_message,
            an_entry_shows_a_mute_while_it_is_in_force,
            read_marks_of_others_show_in_small_private_rooms_only,
            unread_is_capped_in_entries_too,
            users_browse_public_rooms_that_they_are_not_in,
            a_room_is_found_by_any_part_of_its_present_name_and_title,
            the_rooms_of_a_user_are_bounded_and_direct_rooms_do_not_count,
        ]
        membership: [
            joining_a_public_room_starts_at_its_head,
            private_and_direct_rooms_do_not_exist_for_others,
            a_user_who_left_gets_nothing_and_cannot_write,
            nobody_leaves_the_lobby_or_a_direct_room,
            members_invite_others,
            a_removed_member_cannot_write_at_once_despite_the_cache,
            moderators_remove_members_but_not_their_equals,
            owners_give_roles_and_the_last_owner_stays_owner,
            a_room_whose_last_owner_leaves_gets_another_owner,
            the_first_member_of_an_empty_room_owns_it,
            members_are_listed_page_by_page,
        ]
        conversations: [
            p5_two_first_messages_at_once_make_one_conversation_with_both,
            p5_two_users_who_open_at_once_get_the_same_room,
            an_opened_room_is_listed_for_the_opener_until_it_has_a_message,
            a_room_with_oneself_or_an_unknown_user_is_refused,
            only_its_two_members_see_a_direct_room,
            conversations_come_newest_first,
            the_newest_direct_rooms_are_listed_and_the_others_counted_and_paged,
            p3_p4_unread_is_derived_from_the_read_mark_and_the_preview_from_the_messages,
            p11_a_read_mark_never_goes_back_and_never_beyond_the_head,
            p11_reading_own_messages_moves_the_mark_over_no_others,
            p11_of_marks_from_three_devices_at_once_the_highest_wins,
            unread_is_capped_at_999_for_each_room,
            new_users_are_in_the_lobby_with_its_head_as_read_mark,
            p2_a_long_private_message_is_stored_whole_with_its_preview,
        ]
        accounts: [
            usernames_and_addresses_are_unique_regardless_of_case,
            concurrent_registrations_of_one_name_make_one_account,
            ids_of_registered_users_start_where_the_caller_says,
            ids_of_registered_users_stay_below_those_of_a_sites_users,
            concurrent_requests_for_a_site_user_make_one_user,
            a_taken_site_name_gets_a_suffix_and_a_taken_address_is_left_out,
            a_profile_change_leaves_other_fields_alone,
            profiles_are_ordered_by_id_without_unknown_users,
            roles_sanctions_and_disabling_are_kept,
            renewing_a_hash_does_not_undo_a_password_that_was_changed_meanwhile,
            p19_the_status_of_a_token_follows_revocations,
            a_token_status_survives_an_earlier_caller_who_gave_up,
            p19_a_password_change_revokes_every_other_token,
            a_refresh_token_rotates_once,
            the_logins_of_a_user_are_bounded_and_the_oldest_end,
            a_logout_or_disabling_removes_refresh_tokens,
            revocations_are_deleted_only_long_after_they_expired,
            the_newest_addresses_of_a_users_logins_are_remembered,
        ]
        users: [
            a_new_nickname_or_avatar_is_published_to_all,
            users_are_found_by_a_prefix_of_their_names,
            a_prefix_of_thousands_finds_the_first_by_name,
            an_operator_lists_all_users_page_by_page,
        ]
        site: [
            an_api_key_is_valid_until_revoked_and_names_are_unique,
            a_site_creates_its_users_and_they_can_get_messages,
            a_site_renames_its_users_but_takes_no_name_from_another,
        ]
        }
    };
}

/// A test for each rule, grouped in modules, in the crate that calls it. The expression makes a [`StoreFactory`] for a
/// store that is empty; every test evaluates it once.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::with_all_rules! { $crate::make_tests, $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! make_tests {
    ([$factory:expr] $($module:ident: [$($rule:ident),* $(,)?])*) => {
        $(
            mod $module {
                use super::*;

                $(
                    #[tokio::test]
                    async fn $rule() {
                        $crate::rules::$module::$rule($factory).await;
                    }
                )*
            }
        )*
    };
}

macro_rules! make_rules {
    ([] $($module:ident: [$($rule:ident),* $(,)?])*) => {
        #[doc(hidden)]
        pub mod rules {
            $(
                pub mod $module {
                    $(
                        pub async fn $rule(factory: impl crate::StoreFactory + 'static) {
                            crate::$module::$rule(crate::Fixture::new(Box::new(factory)).await).await;
                        }
                    )*
                }
            )*
        }
    };
}

with_all_rules! { make_rules, }
