"""Fixtures: one PostgreSQL server for all tests, one database for each."""

import functools
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo import server as demo_server
from check_jobmon.demo.server import Server, wheel_binaries
from check_jobmon.plugin import deadline
from tests.database import Database, bootstrap, new_database
from tests.servers import folder_of_this_process, free_port
from tests.strangers import gains

# Tests that call the plugin's main() check in a fork of pytest, whose own memory would count too.
deadline.MEMORY = 2**31
HERE = Path(__file__).parent
# Programs are started two thousand times, and to compile all modules each time takes as long as to run them. Where no bytecode
# is to be written beside the sources, it is written elsewhere.
if sys.dont_write_bytecode and os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(HERE.parent / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
# A database is a copy of 300 files: in memory that takes a fifth of the CPU, and no time of a busy disk. Docker's /dev/shm is too
# small, and runs no programs, which a server of root's may have in its folder.
MEMORY = "/dev/shm"
if os.path.ismount(MEMORY) and os.access(MEMORY, os.W_OK):
    _memory = os.statvfs(MEMORY)
    if _memory.f_bavail * _memory.f_frsize >= 2**32 and not _memory.f_flag & os.ST_NOEXEC:
        demo_server.FOLDERS = folder_of_this_process(MEMORY)
demo_server._free_port = free_port
# Signals that were ignored when pytest was started (nohup, & in a script) would be ignored by all programs that the tests start.
# Those that pytest handles are not.
for _number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)
EXHAUSTIVE = (
    "packages",
    "plugin/faults",
    "system",
    "config/test_config_file.py::test_other_readers_of_yaml_find_the_same_names_in_what_is_written",
    "config/test_config_file.py::test_what_is_written_is_read_as_the_same",
    "connection/test_look_alikes.py::test_no_command_runs_a_look_alike",
    "connection/test_look_alikes.py::test_no_option_of_the_plugin_runs_a_look_alike",
    "connection/test_look_alikes.py::test_the_last_command_runs_no_look_alike",
    "connection/test_traps.py::test_the_owners_traps_gain_him_nothing",
    "ctl/test_as_without.py",
    "ctl/test_commands.py::test_all_commands_are_there_without_rich",
    "ctl/test_commands.py::test_names_and_messages_do_nothing_to_the_terminal",
    "ctl/test_config.py::test_a_reader_that_leaves_and_a_full_disk_make_no_traceback",
    "ctl/test_config.py::test_any_interval_is_stored_and_fetched_whole",
    "ctl/test_config.py::test_export_apply_export_is_a_fixed_point",
    "ctl/test_migrate.py::test_a_dry_run_says_the_same_and_changes_nothing",
    "ctl/test_migrate.py::test_more_than_a_part_and_a_bar_on_a_terminal",
    "ctl/test_migrate.py::test_the_new_schema_can_have_another_name",
    "ctl/test_migrate.py::test_whoever_logs_meanwhile_waits_and_finds_the_new_schema",
    "ctl/test_run.py::test_beside_a_server_that_never_answers_the_command_runs_and_its_log_is_kept",
    "ctl/test_run.py::test_deliver_does_not_wait_for_ever",
    "ctl/test_streams.py::test_closed_streams_change_no_exit_status",
    "ctl/test_suggest.py::test_by_a_suggested_schedule_hardly_any_run_would_have_been_late",
    "ctl/test_table.py::test_no_row_is_wider_than_the_terminal_and_names_are_whole",
    "ctl/test_table.py::test_wide_on_a_terminal_is_what_a_pipe_has",
    "ctl/test_targets.py::test_one_time_limit_holds_for_all",
    "ctl/test_time_limit.py::test_a_locked_table_is_given_up",
    "ctl/test_time_limit.py::test_a_silent_server_is_given_up",
    "ctl/test_time_zone.py::test_every_command_names_one_zone_once",
    "ctl/test_time_zone.py::test_the_plugin_names_one_zone_once",
    "ctl/test_waiting.py::test_it_says_how_many_targets_have_answered",
    "ctl/test_who_may_what.py::test_each_role_may_what_it_is_for_and_is_told_whom_to_ask_otherwise",
    "demo/test_demo.py::test_a_folder_that_isnt_there_is_told_by_the_demo",
    "demo/test_demo.py::test_the_demos_report_has_its_jobs_and_their_past",
    "judging/test_letter_case.py",
    "judging/test_pg_jobmon.py",
    "judging/test_selection.py::test_any_name_is_selected_as_it_is_written",
    "plugin/output/test_hostile_arguments.py",
    "plugin/output/test_hostile_names.py",
    "plugin/targets/test_checks.py::test_a_resolver_that_never_answers_hinders_nobody_else",
    "plugin/targets/test_checks.py::test_dead_targets_neither_delay_nor_hide_the_others",
    "plugin/targets/test_checks.py::test_more_targets_than_the_soft_limit_of_open_files",
    "plugin/targets/test_icinga.py::test_a_server_that_never_answers_is_given_up_at_the_deadline",
    "plugin/targets/test_icinga.py::test_an_answer_without_end_is_none",
    "plugin/targets/test_nagios.py::test_commands_of_several_at_once_are_whole_and_short_enough_not_to_mix",
    "plugin/targets/test_nagios.py::test_nobody_goes_on_reading",
    "recording/test_sessions.py::test_a_command_that_ignores_term_is_killed_with_its_descendants",
    "recording/test_sessions.py::test_a_notification_alone_ends_nothing",
    "schema/test_bootstrap.py::test_where_the_socket_refuses_the_link_tcp_is_chosen",
    "schema/test_bridge.py::test_no_run_keeps_others_from_being_logged",
    "schema/test_bridge_attacks.py::test_a_message_of_any_size_is_cut_and_stops_nothing",
    "schema/test_compare.py::test_what_differs_is_refused_by_name_before_it_can_run",
    "schema/test_durability.py::test_200_sessions_log_at_once_and_nothing_is_lost_or_doubled",
    "schema/test_hardened.py::test_the_trial_takes_no_number_that_is_in_use",
    "schema/test_link_stays.py::test_a_pool_whose_sessions_have_each_logged_once_has_no_link_left",
    "schema/test_link_stays.py::test_an_owner_who_is_no_superuser_is_told_what_keeps_the_servers_log_quiet",
    "schema/test_link_stays.py::test_links_that_wait_for_the_next_job_do_not_meet_the_databases_limit",
    "schema/test_link_stays.py::test_links_that_wait_for_the_next_job_take_no_session_its_connection",
    "schema/test_link_stays.py::test_where_links_take_the_last_connection_the_error_is_clear_and_no_command_s_run_is_lost",
    "schema/test_locks.py::test_a_cancelled_clearing_logs_what_it_has_deleted",
    "schema/test_locks.py::test_an_inner_job_leaves_the_link_to_the_outer_one_which_closes_it",
    "schema/test_locks.py::test_no_lock_on_any_table_makes_any_call_wait_for_ever",
    "schema/test_logging.py::test_the_link_is_closed_with_the_job",
    "schema/test_newer_schema.py",
    "schema/test_next_run.py::test_20000_schedules_are_due_when_cronsim_says",
    "schema/test_older_schemas.py",
    "schema/test_own_backend.py::test_all_readers_know_the_runs_own_backend",
    "schema/test_partitions.py::test_a_dump_of_a_partitioned_log_is_one_again",
    "schema/test_partitions.py::test_a_transaction_that_has_logged_is_waited_for_and_named",
    "schema/test_partitions.py::test_an_existing_log_becomes_partitioned_while_jobs_are_logged",
    "schema/test_partitions.py::test_an_interrupted_partition_has_changed_nothing_and_can_be_called_again",
    "schema/test_partitions.py::test_of_two_at_once_one_partitions_the_log_and_bootstrap_finds_no_fault_meanwhile",
    "schema/test_partitions.py::test_what_a_killed_partition_left_behind_refuses_no_run",
    "schema/test_partitions.py::test_whole_partitions_go_however_many_runs_they_have",
    "schema/test_partitions.py::test_years_without_a_run_take_no_partition_for_each_of_their_days",
    "schema/test_roles.py::test_lost_rights_are_noticed_and_given_back",
    "schema/test_settings.py::test_whatever_a_database_has_set_the_answers_are_the_same",
    "schema/test_silence.py::test_a_pattern_silences_the_jobs_that_the_plugins_j_selects",
    "schema/test_upgrade.py::test_columns_of_a_sites_own_with_the_names_of_new_ones_are_reported_and_kept",
    "test_code_blocks.py",
    "test_shown_sessions.py",
    "test_tutorial.py",
)
"""The folders, files and tests that pytest leaves out unless it is called with -m: they drive real daemons, break the plugin's
network, server or process, or go through every command, option, signal, setting or lock. They take two thirds of the time."""
FIRST_OF_MANY = (
    "connection/test_look_alikes.py::test_no_function_of_the_schema_runs_a_look_alike_on_either_side_of_the_link",
    "ctl/test_as_logged.py::test_every_list_shows_names_and_messages_as_they_were_logged",
    "ctl/test_commands.py::test_a_missing_schema_is_one_line",
    "ctl/test_commands.py::test_a_refused_connection_is_one_line",
    "ctl/test_commands.py::test_a_role_without_rights_is_told_what_to_be_granted",
    "ctl/test_commands.py::test_help_has_the_exit_status_and_an_example",
    "ctl/test_commands.py::test_wrong_arguments_are_one_line_and_status_2",
    "ctl/test_config_calendar.py::test_an_upgrade_keeps_the_configuration",
    "ctl/test_config_calendar.py::test_nonsense_in_sql_is_refused_in_a_sentence",
    "ctl/test_odd_times.py::test_every_command_shows_odd_times",
    "ctl/test_run.py::test_a_reader_that_has_stalled_holds_up_no_signal",
    "ctl/test_run.py::test_tail_says_how_many_lines_are_logged",
    "ctl/test_run.py::test_the_command_line_that_is_logged_can_be_pasted_back",
    "ctl/test_run.py::test_the_name_is_the_one_that_was_given",
    "ctl/test_run.py::test_wrong_arguments_run_nothing",
    "ctl/test_silence.py::test_nonsense_is_refused_in_one_line",
    "ctl/test_watch.py::test_whatever_ends_it_the_terminal_is_as_before",
    "plugin/output/test_limits.py::test_counts_are_right_and_what_is_left_out_is_told_exactly",
    "plugin/targets/test_icinga.py::test_answers_that_are_no_success_are_told_for_each",
    "plugin/targets/test_nagios.py::test_a_target_that_can_be_no_host_of_nagios_s_is_named_and_hinders_no_other",
    "recording/test_python_job.py::test_nothing_that_is_to_be_logged_disturbs_the_body",
    "recording/test_sessions.py::test_a_cancelled_run_ends",
    "recording/test_sessions.py::test_a_restart_of_the_database_leaves_a_run_alive",
    "recording/test_sessions.py::test_a_run_whose_client_died_has_crashed",
    "recording/test_sessions.py::test_the_host_and_the_process_are_shown",
    "schema/test_attacks.py::test_bootstrap_repairs_what_a_link_did_to_its_own_role",
    "schema/test_attacks.py::test_no_relation_shows_the_secret",
    "schema/test_attacks.py::test_quotes_and_backslashes_are_logged_as_they_are",
    "schema/test_attacks.py::test_sql_step_and_sql_job_run_nothing_with_more_rights_than_the_callers",
    "schema/test_compare.py::test_a_schema_of_any_name_is_compared_without_its_name",
    "schema/test_dump.py::test_the_data_alone_is_restored_as_the_guide_says",
    "schema/test_hardened.py::test_names_that_differ_stay_different_in_any_encoding",
    "schema/test_job_status.py::test_odd_since_breaks_no_check",
    "schema/test_lagging_sequence.py::test_an_id_that_is_in_use_is_never_given",
    "schema/test_link_stays.py::test_what_a_site_has_set_stays",
    "schema/test_link_way.py::test_every_way_of_pg_hba_that_needs_no_password_in_clear_works",
    "schema/test_link_way.py::test_where_the_server_does_not_listen_no_tcp_is_tried",
    "schema/test_link_way.py::test_who_sits_at_an_address_that_the_server_could_not_have_gets_nothing",
    "schema/test_link_way.py::test_who_took_the_place_of_the_socket_gets_nothing",
    "schema/test_newer_package.py::test_the_plugin_and_what_only_reads_work_with_every_earlier_version",
    "schema/test_ordinary_owner.py::test_a_second_bootstrap_leaves_no_error_in_the_servers_log",
    "schema/test_ordinary_owner.py::test_whatever_rights_the_role_has_already_the_rest_is_printed",
    "schema/test_partitions.py::test_what_bootstrap_refuses_on_a_table_it_refuses_on_a_partition",
    "schema/test_roles.py::test_a_right_that_is_the_owners_alone_is_noticed_and_revoked",
    "schema/test_roles.py::test_a_role_that_somebody_made_beforehand_is_refused_until_it_is_put_right",
    "schema/test_run_order.py::test_no_job_fails_because_a_table_of_the_site_refers_to_its_failures",
    "schema/test_uninstall.py::test_nothing_goes_where_something_else_depends_on_it",
    "schema/test_upgrade.py::test_every_earlier_version_is_upgraded_in_place",
    "schema/test_upgrade.py::test_what_a_site_may_drop_keeps_no_version_from_being_upgraded",
    "ctl/test_migrate.py::test_all_is_taken_over_and_judged_as_before_whatever_the_version",
    "ctl/test_migrate.py::test_what_can_not_be_migrated_is_refused_in_one_sentence",
    "schema/test_bridge_attacks.py::test_no_name_stops_the_bridge_or_the_plugin",
    "schema/test_partitions.py::test_partitions_follow_each_other_and_reach_into_the_future",
)
"""Tests with cases that differ little, of which the first stands for all of them unless pytest is called with -m."""
SLOW = (
    "config/test_durations.py",
    "config/test_suggestion.py",
    "connection",
    "ctl/test_ack.py",
    "ctl/test_cancel.py",
    "ctl/test_clear.py",
    "ctl/test_commands.py",
    "ctl/test_config.py",
    "ctl/test_config_calendar.py",
    "ctl/test_migrate.py",
    "ctl/test_run.py",
    "ctl/test_services.py",
    "ctl/test_silence.py",
    "ctl/test_standby.py",
    "ctl/test_streams.py",
    "ctl/test_suggest.py",
    "ctl/test_targets.py",
    "ctl/test_time_limit.py",
    "ctl/test_time_zone.py",
    "ctl/test_waiting.py",
    "ctl/test_watch.py",
    "ctl/test_who_may_what.py",
    "demo",
    "plugin/output/test_limits.py",
    "plugin/targets",
    "plugin/test_imports.py",
    "plugin/test_lazy_imports.py",
    "recording/test_python_job.py",
    "recording/test_sessions.py",
    "recording/test_spool.py",
    "schema/test_attacks.py",
    "schema/test_bootstrap.py",
    "schema/test_compare.py",
    "schema/test_dump.py",
    "schema/test_durability.py",
    "schema/test_hardened.py",
    "schema/test_job_log_clear.py",
    "schema/test_lagging_sequence.py",
    "schema/test_link_stays.py",
    "schema/test_link_way.py",
    "schema/test_locks.py",
    "schema/test_managed.py",
    "schema/test_ordinary_owner.py",
    "schema/test_ownership.py",
    "schema/test_partitions.py",
    "schema/test_roles.py",
    "schema/test_settings.py",
    "schema/test_showing.py",
    "schema/test_sql_step.py",
    "schema/test_uninstall.py",
    "schema/test_upgrade.py",
    "test_readme.py",
)
"""The folders and files whose tests are left out of the daily round as well, because they wait for deadlines, start servers or
daemons, bootstrap again and again, or are about pages or commands that few changes touch."""

WAITING = (
    "ctl/test_targets.py::test_one_time_limit_holds_for_all",
    "system/test_bridge.py::test_real_runs_good_failed_killed_and_interrupted_by_a_restart_are_logged",
)
"""The tests that wait longest, for a time limit or the next minute. They come first, so that the others are done meanwhile."""


@pytest.fixture(scope="session", autouse=True)
def _no_other_user_gains_anything() -> Iterator[None]:
    """Any test fails that starts a server from which another user of this machine gains something."""
    start = Server.start

    def guarded(server: Server) -> None:
        start(server)
        assert gains(server.folder) == []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "start", guarded)
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The wheel's PostgreSQL, or the one whose programs are in the folder JOBMON_TEST_POSTGRES.

    It listens on TCP too, because the daemons, PgBouncer and the proxy need that: another server would take seconds.
    """
    programs = os.environ.get("JOBMON_TEST_POSTGRES")
    server = Server(
        Path(programs) if programs else wheel_binaries(),
        # Nothing here tests the disk: a crash of the machine may lose all, a crash of the server loses nothing.
        {
            "fsync": "off",
            "max_connections": "300",
            "shared_buffers": "64MB",
            "max_wal_size": "128MB",
            "dynamic_shared_memory_type": "mmap",  # is in the server's folder, and is deleted with it
        },
        tcp=True,
    )
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a bootstrapped database that nobody is connected to."""
    with Database(server, "postgres").connect() as session:
        session.execute("CREATE DATABASE jobmon_template")
    with Database(server, "jobmon_template").connect() as session:
        bootstrap(session, "jobmon")
    return "jobmon_template"


@pytest.fixture
def database(server: Server, template: str) -> Iterator[Database]:
    """A database with the schema, for one test."""
    with new_database(server, template) as database:
        yield database


@pytest.fixture
def empty_database(server: Server) -> Iterator[Database]:
    """A database without the schema, for one test."""
    with new_database(server, "template0") as database:
        yield database


@pytest.fixture
def session(database: Database) -> Iterator[psycopg.Connection]:
    """A superuser's session in the test's database, in autocommit mode."""
    with database.connect() as session:
        yield session


@functools.cache
def _file_and_folders(path: Path) -> tuple[str, list[str]]:
    """A file's path below tests/, and the folders that it is in."""
    path = path.relative_to(HERE) if path.is_relative_to(HERE) else path
    return str(path), [str(folder) for folder in path.parents]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is exhaustive or slow, before -m selects, and have those that wait longest come first."""
    listed = (*SLOW, *EXHAUSTIVE, *FIRST_OF_MANY, *WAITING)
    assert [name for name in listed if not (HERE / name.partition("::")[0]).exists()] == []
    stand_for_others: set[str] = set()
    for item in items:
        file, folders = _file_and_folders(item.path)
        test = f"{file}::{getattr(item, 'originalname', item.name)}"
        names = {test, file, *folders}
        many_examples = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        exhaustive = not names.isdisjoint(EXHAUSTIVE) or test in stand_for_others
        if test in FIRST_OF_MANY:
            stand_for_others.add(test)
        if exhaustive:
            item.add_marker(pytest.mark.exhaustive)
        if exhaustive or many_examples or not names.isdisjoint(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not item.nodeid.endswith(WAITING))


def pytest_collection_finish() -> None:
    """What has been collected stays: no collection of garbage looks at it again, and no fork copies it for that."""
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With JOBMON_NO_SKIPS set, as CI does, a skipped test is a failure: CI installs whatever the tests need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    # a machine whose root may not mount can't do that for CI either
    skipped = [
        report
        for report in reporter.stats.get("skipped", [])
        if "root can't mount anything here" not in str(report.longrepr)
    ]
    if skipped and os.environ.get("JOBMON_NO_SKIPS") and exitstatus == pytest.ExitCode.OK:
        for report in skipped:
            reporter.write_line(f"SKIPPED, which CI does not allow: {report.nodeid}: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
