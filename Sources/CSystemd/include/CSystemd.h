#ifndef DF2REDIS_CSYSTEMD_H
#define DF2REDIS_CSYSTEMD_H

// libsystemd (systemd 252 or later) for Swift.
//
// Swift imports these as they are: sd_notify, sd_pid_notify_with_fds, sd_listen_fds_with_names, sd_watchdog_enabled
// and sd_journal_sendv. It cannot import the variadic ones (sd_notifyf, sd_journal_print, sd_journal_send), nor does it
// need them: `Systemd` writes its text in Swift, and a printf format is no place for text of a peer. A function that
// Swift needs and cannot import goes here, prefixed df2redis_, with its reason beside it.

// Without this the header shadows sd_journal_sendv with a macro that puts its own CODE_FILE, CODE_LINE and CODE_FUNC
// into each record: those of the C caller. Ours are those of the log statement.
#define SD_JOURNAL_SUPPRESS_LOCATION

#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#endif
