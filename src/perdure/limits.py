"""Every bound Perdure keeps, in one place; the unit is the last word of the name."""

tree_bytes_max = 2**36
"""What a tree of pages may say that it holds (bytes, or entries)."""

depth_max = 128
"""Containers within containers in one state (levels)."""

edit_check_lists_max = 64
"""Lists handed out one by one whose length every save compares with the one recorded (lists)."""

losses_kept_max = 100
"""Warnings of unsaved edits that were lost which a store keeps for who asks (warnings)."""

loss_looked_for_max = 64
"""The newest movements among which that is looked for which damage led to (movements)."""

scrubbed_pages_max = 64
"""Pages of a state that one round of scrubbing looks at (pages)."""

scrubbed_records_max = 256
"""Records of a state that one round of scrubbing looks at (records)."""

scrubbed_states_max = 10_000
"""States of which a store remembers how far scrubbing came (states)."""

whence_places_max = 64
"""Places on either side that a row which does not fit its own is tried at (records)."""

whence_bytes_max = 65_536
"""A row larger than this is not tried elsewhere (bytes)."""

anchor_grown_bytes = 65_536
"""An anchor's file is not written anew before it is as long as this (bytes)."""

anchor_known_max = 10_000
"""Marks that are remembered of what was saved (marks)."""

damage_named_max = 3
"""Damaged pages that are named one by one (pages)."""

salvaged_header_bytes_max = 128
"""The longest header of a row of a store's tables that is looked at in a broken file (bytes)."""

salvaged_row_bytes_max = 2**30
"""The longest row that is put together from a broken file (bytes)."""

near_keys_max = 50
"""Keys compared at a time with one that is not there, to name those like it (keys)."""

near_keys_named_max = 3
"""Keys that such an error names (keys)."""

key_bytes_max = 1024
"""UTF-8 length of a state's key (bytes)."""

summary_chars_max = 500
"""Length of a state's summary (characters)."""

label_chars_max = 500
"""Length of a checkpoint's label (characters)."""

compress_bytes_min = 1024
"""Smallest payload worth compressing on its own (bytes)."""

reason_chars_max = 1_000
"""Length of the reason that an erasure is given (characters)."""

receipt_bytes_max = 64 * 1024
"""A receipt of an erasure, decompressed (bytes)."""

seal_at_once_bytes_max = 64 * 1024
"""The largest save that is compressed and hashed on the event loop itself (bytes); takes 0.3 ms."""

open_at_once_bytes_max = 64 * 1024
"""The most stored records that are verified and decoded on the event loop itself (bytes)."""

record_bytes_max = 512 * 1024 * 1024
"""One record's payload, decompressed (bytes); SQLite holds no value over 1 GB."""

save_bytes_max = record_bytes_max // 2
"""What one save writes, before compression, and so one text or bytes in a state (bytes)."""

measured_units_min = save_bytes_max // 4
"""A text or bytes that is longer is measured when it is inserted (characters, bytes): no character
takes more than four bytes."""

inline_bytes_max = 16 * 1024
"""A value whose packed bytes are more is kept as a tree of its own (bytes)."""

section_inline_bytes_max = 1024
"""The same for a section, so that the first page of a state stays small (bytes)."""

page_bytes_min = 16 * 1024
"""A page of content that is not the last of its tree holds at least so much, packed (bytes)."""

page_bytes_aim = 48 * 1024
"""How much comes on average until a page ends, once it holds the least (bytes)."""

page_bytes_full = 112 * 1024
"""A page that holds so much ends (bytes). With its last entry it holds 128 KiB at most, and more
only by that entry's key: it is never apart from its value, and has no bound of its own."""

block_max = 64 * 1024
"""A page of a long text or bytes (characters or bytes)."""

page_payload_bytes_max = 512 * 1024 * 1024
"""One page, decompressed (bytes): only one with a value that is never cut, or with a very long key,
is larger than some 130 KiB."""

pack_bytes_max = 1024 * 1024
"""Payloads of the rows that become one pack, together (bytes)."""

pack_payload_bytes_max = 2 * pack_bytes_max
"""A pack's payload, decompressed (bytes). It is shorter than those it is made of, unless records
have to be kept whole in it."""

pack_records_max = 16_384
"""Records in one pack (records)."""

pack_rows_max = 256
"""Rows that become one pack in one transaction (rows)."""

upkeep_bytes_max = 256 * 1024
"""Rows that one transaction of maintenance replaces, or pages that it removes, as stored (bytes),
unless a page alone is larger: no transaction keeps a save waiting."""

piece_bytes_max = 64 * 1024
"""Values packed or unpacked by maintenance between two moments at which other threads may have the
interpreter (bytes); takes about 0.3 ms."""

piece_records_max = 32
"""Records verified or packed between two such moments (records)."""

piece_rows_max = 256
"""Rows or pages whose sizes are listed in one request of maintenance (rows)."""

put_bytes_max = 64 * 1024
"""Pages stored in one transaction (bytes), unless one alone is larger; takes about 0.5 ms."""

tail_records_max = 64
"""Records after the newest snapshot that are not yet worth a new one (records)."""

tail_bytes_max = 256 * 1024
"""The same by what they take in the store (bytes)."""

tail_raw_bytes_max = 1024 * 1024
"""The same by what they hold, decompressed (bytes): it is what opening has to decode."""

tail_excess_max = 4
"""How many times its limit a tail grows before its writer waits for maintenance (times)."""

diff_items_bytes_max = 4 * 1024 * 1024
"""What lies between a list's first and last difference is compared item by item, if it is no more
(bytes); in more, pages that both sides have are taken for unchanged."""

item_id_chars_max = 256
"""Length of a text under `"id"` that tells an item of a list from the others (characters)."""

snapshot_cost_max = 16
"""How many times the bytes of the tail a snapshot may write; one that would write more is put off
until the tail is at `tail_put_off_max`: edits scattered over a state touch most of its pages."""

tail_put_off_max = 2
"""How many times its limit a tail is at most where its snapshot is put off (times)."""

snapshots_kept_max = 6
"""Snapshots that a branch keeps (snapshots)."""

snapshots_loose_max = 64
"""Snapshots let go, whose pages are not collected yet, before others are made (snapshots)."""

upkeep_rows_max = 4096
"""Rows or pages that one step of maintenance looks at together (rows)."""

incarnations_listed_max = 256
"""Incarnations whose rows and pages are counted in one request (incarnations)."""

heads_listed_max = 1000
"""Heads asked for in one request (heads)."""

upkeep_steps_max = 10_000
"""Steps of maintenance in one go (steps): it ends, however fast others save."""

staging_us_max = 24 * 3600 * 1_000_000
"""Age at which what a copy or an import has not finished counts as abandoned (microseconds)."""

head_bytes_max = 4 * 1024 * 1024
"""A state head's payload (bytes)."""

read_bytes_max = 4 * 1024 * 1024
"""Records asked for in one request (bytes)."""

blame_records_max = 4096
"""Records read together on the way back to the one that wrote a path (records)."""

merge_records_max = 4096
"""Records since two branches parted that are gone over to merge them once more, before their states
are compared instead (records)."""

blame_merges_max = 256
"""Merges gone through on the way back to the checkpoint that wrote a path (merges)."""

cache_bytes = 32 * 1024 * 1024
"""What a store keeps in memory of what it read, unless told otherwise (bytes)."""

cache_item_bytes = 600
"""What a record or a page takes in memory besides its payload (bytes)."""

watch_lines_max = 1024
"""Lines of one life of a state of which a watcher remembers what it was given (lines): a branch may
come back to what it left, and those that are not remembered count as given."""

watch_moves_max = 64
"""Movements of branches that a watcher reads in one request (movements)."""

watch_bytes_max = 256 * 1024
"""Records that a watcher reads in one request (bytes), unless one row is more."""

watch_interval_max_s = 86_400
"""The longest time between two looks that can be asked for (seconds)."""

lineage_inline_max = 16
"""Bases of a branch that its head has (bases); older ones are in the first records of lines."""

claims_inline_max = 32
"""Claims that a head has inline; more are put into pages, but for those without an outcome."""

claims_open_max = 1000
"""Effects of one state of which no outcome is known (claims): each save writes them, some 150 bytes
each. Another one is refused."""

claim_about_chars_max = 500
"""What a claim keeps of what made it (characters)."""

effect_key_bytes_max = 1024
"""UTF-8 length of an effect's key (bytes)."""

claim_result_inline_bytes_max = 1024
"""The result of an effect that is kept in the head (bytes); a larger one is put into pages."""

branches_inline_max = 16
"""Branches that a head has before others are parked in a tree of pages (branches)."""

branch_chars_max = 200
"""Length of a branch's name (characters)."""

expires_us_max = 1000 * 365 * 24 * 3600 * 1_000_000
"""The longest time after its last save at which a state can be made to expire (microseconds)."""

left_us = 30 * 24 * 3600 * 1_000_000
"""How long pruning keeps what a branch left when it was moved, unless told otherwise
(microseconds)."""

checkpoints_max = 10**12
"""Numbers in a reference are below this (checkpoints)."""

commit_tries_max = 32
"""Times a commit is built anew because an unrelated part of the head moved (tries)."""

merge_tries_max = 256
"""Times a save is merged anew because others saved first once more (tries)."""

merge_apart_tries_max = 4
"""Times a merge is computed while edits of the same sections may come up, after which it is done
without letting the event loop go on (tries)."""

merge_row_max = 32
"""Saves of a session that merges, one right after another, before it leaves others a moment
(saves)."""

merge_pause_us = 2_000
"""That moment, and what counts as right after another (microseconds)."""

merge_pauses_max = 8
"""How many times as long it grows while others are known to be at work and do not come to save
(times)."""

merge_others_us = 1_000_000
"""Others are known to be at work if they saved within this time (microseconds)."""

sessions_open_max = 16
"""Sessions without an end that a head remembers (sessions)."""

former_max = 64
"""Deleted earlier lives of one key that its head remembers (incarnations)."""

heartbeat_s = 60
"""A holder on another machine that saved within this time may be running (seconds)."""

lease_s = 30
"""A lease of a holder on another machine is over when it was not renewed for so long (seconds)."""

lease_wait_max_s = 86_400
"""The longest wait for a lease that can be asked for (seconds)."""

busy_timeout_max_s = 86_400
"""The longest wait for other processes that can be asked for (seconds)."""

fork_wait_s = 5.0
"""A fork waits so long for threads that are inside SQLite, and is made then (seconds)."""

wal_checkpoint_bytes = 4 * 1024 * 1024
"""A commit that takes SQLite's WAL past this runs one passive checkpoint (bytes)."""

key_messages_max = 2**32
"""What one key seals under random nonces of 96 bits (messages), as NIST SP 800-38D allows; a writer
goes on with another key then."""

data_keys_kept_max = 4096
"""Keys of states that a store with a key keeps in memory (states)."""

derived_keys_kept_max = 64
"""Keys derived from one of them that are kept: one for each process that wrote (keys)."""

batch_commits_max = 64
"""Commits settled in one transaction (commits)."""

export_bytes_max = 2 * 1024 * 1024 * 1024
"""One frame of an exported state, decompressed (bytes)."""

list_edits_max = 1024
"""Separate edits that a list keeps apart between two saves (edits); of more, the nearest join."""

migration_batch_bytes_max = 16 * 1024 * 1024
"""Records of states that are migrated in one transaction (bytes); one may be larger by itself."""

migration_kept_bytes_max = 128 * 1024 * 1024
"""Migrations kept from the look at all states until they are committed, in memory (bytes)."""

migration_failures_max = 100
"""Failures that the report of a migration names (branches); the others are counted."""

migration_samples_max = 3
"""States that the report of a migration shows before and after (branches)."""

migration_differences_max = 20
"""Differences shown of each of them (differences)."""

migration_tries_max = 8
"""How often a state is migrated anew that others save to meanwhile (tries)."""

checked_containers_max = 4096
"""Plain containers of a typed state that are known to fit its schema (containers).

The oldest beyond that are checked anew when they are read.
"""

views_swept_min = 1024
"""Views of a typed state of which those that nobody holds are swept out (views)."""

inferred_states_default = 1000
"""States that a schema is inferred from where no number is given (states)."""

inferred_fields_max = 200
"""Fields of one mapping told apart when a schema is inferred; more are described together."""

inferred_places_max = 10_000
"""Fields told apart in all when a schema is inferred; further ones are described together."""

inferred_keys_min = 8
"""From so many keys on, of which none is in half of the mappings, they are data (keys)."""

inferred_tuple_max = 16
"""Tuples up to so long are described place by place (items)."""

inferred_choices_max = 8
"""Texts of one place that may be an enum (texts)."""

inferred_choice_chars_max = 32
"""The longest text of an inferred enum (characters)."""

inferred_choice_times_min = 10
"""How often each text of an inferred enum must have come (times)."""

inferred_choice_states_min = 3
"""In how many states each of them must have come (states): what one user wrote is no choice."""

environment_file_bytes_max = 64 * 1024 * 1024
"""A file of an agent's environment that is compared by its content (bytes); larger ones by time."""

environment_git_seconds_max = 10
"""How long git may take to tell of a repository (seconds)."""

environment_named_max = 8
"""Files, packages and variables that a line about an environment's changes names, of each."""

environment_changes_kept_max = 100
"""The same, that the record of an agent keeps for its briefing."""

briefing_tokens_min = 50
"""The smallest budget of a briefing (tokens)."""

briefing_item_chars_max = 400
"""What a briefing shows of one text (characters); how much more there is, it tells."""

briefing_missing_chars_max = 1_000
"""What a briefing shows of what is missing, of each thing (characters)."""

briefing_first_items = 5
"""Items of each part of a briefing that come before the further ones of any (items)."""

briefing_messages_max = 50
"""Messages that are looked through for the last instruction, from the newest back (messages)."""

receipt_movements_max = 20
"""Movements that are looked through for the one that brought a branch where it stands, from the
newest back (movements)."""

briefing_count_max = 999_999
"""Items left out of a part that room is kept to tell of (items)."""

step_backoff_first_s = 0.5
"""How long a step that failed waits before it is tried again, at first (seconds)."""

step_backoff_max_s = 60
"""The longest such wait (seconds)."""

task_hold_s = 300
"""How long a task is held for a worker of which nobody can tell whether it lives (seconds)."""

work_poll_first_s = 0.002
"""How long who waits for a task to take waits before looking again, at first (seconds)."""

work_poll_max_s = 0.25
"""The longest such wait (seconds)."""

record_save_tries_max = 8
"""Saves of an agent's record that found the store busy before that is told (saves)."""

error_chars_max = 2000
"""What is kept of the text of an error (characters)."""
