//! The other half of the `Store` contract: one function a rule, each run on every kind of store.
//! Names that begin like a row of ANCESTOR.md are that row's test.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "conformance/accounts.rs"]
mod accounts;
#[path = "conformance/direct.rs"]
mod direct;
#[path = "conformance/house.rs"]
mod house;
#[path = "conformance/messages.rs"]
mod messages;

/// One test a rule. A rule that is missing here is a warning (dead code), and warnings are denied.
macro_rules! rules {
    ($backend:expr; $($part:ident: [$($rule:ident),* $(,)?])*) => {
        $($(
            #[tokio::test]
            async fn $rule() {
                super::$part::$rule(super::house::House::new(Box::new($backend)).await).await;
            }
        )*)*
    };
}

macro_rules! every_rule {
    ($backend:expr) => {
        rules! { $backend;
            messages: [
                a_message_is_stored_as_it_was_said_and_told_as_it_is_stored,
                h11_the_senders_address_is_kept_and_never_told,
                h12_fifty_senders_at_once_are_told_in_the_order_of_history_without_a_hole,
                times_never_decrease_when_the_clock_jumps_back,
                p12_the_same_client_id_gives_the_first_answer_for_ever,
                p12_the_same_client_id_at_once_is_stored_once_and_skips_no_version,
                p12_the_same_client_id_for_something_else_is_a_conflict,
                who_may_not_write_is_told_why_and_nothing_happens,
                p6_p7_history_is_paged_by_message_and_misses_and_repeats_nothing,
                p6_p7_a_deleted_message_is_left_out_and_still_is_a_place,
                p14_catching_up_is_complete_and_paged_however_much_was_missed,
                h9_paging_by_seq_shows_each_message_once_and_tells_what_was_deleted_behind_it,
                p15_deleting_is_told_and_takes_the_next_version,
                p15_a_moderator_deletes_in_rooms_but_not_between_two_people,
                any_text_is_only_text,
                what_was_handed_over_is_committed_and_told_though_nobody_waits,
                a_page_and_the_rooms_version_are_of_one_moment_while_others_write,
                a_name_that_changes_shows_on_what_was_said_before,
                a_closed_store_says_so_and_everything_is_there_when_it_is_opened_again,
            ]
            direct: [
                p2_a_long_private_message_is_stored_whole_with_its_preview,
                p5_two_first_messages_at_once_make_one_conversation_with_both,
                p5_both_open_at_once_and_get_the_same_room,
                an_opened_room_is_listed_for_who_opened_it_until_there_is_a_message,
                nobody_opens_a_room_with_themselves_or_with_nobody,
                a_direct_room_is_seen_by_its_two_people_only,
                conversations_come_newest_first,
                p3_p4_unread_is_derived_from_the_read_mark_and_the_preview_from_the_messages,
                p11_a_read_mark_never_goes_back_and_never_beyond_the_head,
                p11_reading_ones_own_words_moves_the_mark_and_tells_nobody,
                p11_three_devices_mark_at_once_backwards_too_and_the_highest_stands,
                unread_is_capped_at_999_for_each_room,
                everybody_is_in_the_lobby_from_the_beginning_with_its_head_as_read,
            ]
            accounts: [
                names_and_addresses_are_unique_whatever_their_case,
                one_name_registered_at_once_is_one_account,
                own_ids_start_where_they_are_told_to,
                a_sites_user_raced_is_one_user,
                a_sites_name_that_is_taken_gets_a_suffix_and_a_taken_address_is_left_out,
                a_profile_changes_where_it_is_told_to,
                profiles_come_in_the_order_of_ids_and_unknown_ones_are_left_out,
                roles_sanctions_and_disabling_are_kept,
                renewing_a_hash_does_not_undo_a_password_that_was_changed_meanwhile,
                p19_a_token_is_worth_what_revocations_say,
                p19_a_changed_password_ends_every_other_token,
                a_refresh_token_is_good_for_one_rotation,
                logging_out_or_being_disabled_ends_refresh_tokens,
                revocations_are_cleared_away_only_long_after_they_expired,
            ]
        }
    };
}

mod sqlite {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;

    use teahouse_store::{CommitSink, SqliteOptions, SqliteStore, Store};

    use crate::house::Backend;

    struct InDirectory(tempfile::TempDir);

    impl Backend for InDirectory {
        fn open(&self, sink: Box<dyn CommitSink>) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>> {
            let store = SqliteStore::open(SqliteOptions::new(self.0.path()), sink).unwrap();
            Box::pin(async move { Arc::new(store) as Arc<dyn Store> })
        }
    }

    every_rule!(InDirectory(tempfile::tempdir().unwrap()));
}
