/// A metric as Prometheus knows it: name, type, what it counts.
package struct Metric: Sendable {
    package enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    package let name: String
    package let kind: Kind
    package let help: String
    /// The names of the labels in which its samples differ.
    package let labels: [String]

    private init(_ name: String, _ kind: Kind, _ help: String) { self.init(name, kind, [], help) }

    private init(_ name: String, _ kind: Kind, _ labels: [String], _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
    }
}

/// Units are seconds and bytes. Counters cover all sessions of a process.
extension Metric {
    package static let all = [
        info, phase, healthy, ready, startTime,
        received, applied, keys, records, queued, queuedDisk, lagSeconds, lagRecords, lagBytes, targetSilence,
        appliedLSN, acknowledgedLSN, flows, batchSeconds,
        sessions, sessionFailures, targetLosses, targetLost, fullSyncs, incidents, sourceKeys, targetKeys,
        sourceRoundTrip, targetRoundTrip, refreshAsked, refreshEnds, refreshRetries, refreshWaiting, refreshBlocked,
        verifyPasses, verifyKeys, verifyFound, certificateExpiry,
        cpu, resident, descriptors,
    ]

    static let info = Metric(
        "df2redis_task_info", .gauge, ["mode", "source", "target", "version"], "Always 1; what the task is.")
    static let phase = Metric("df2redis_phase", .gauge, ["phase"], "1 for the phase of the task, 0 for the others.")
    static let healthy = Metric("df2redis_healthy", .gauge, "1 if /health answers 200.")
    static let ready = Metric("df2redis_ready", .gauge, "1 if /ready answers 200.")
    static let startTime = Metric(
        "df2redis_start_time_seconds", .gauge, "When the process began, in seconds of Unix time.")

    static let received = Metric(
        "df2redis_received_bytes_total", .counter, ["flow"], "Bytes received from the source.")
    static let applied = Metric(
        "df2redis_applied_bytes_total", .counter, ["flow"], "Bytes that the target has confirmed.")
    static let keys = Metric(
        "df2redis_snapshot_keys_total", .counter, ["flow"], "Keys of snapshots that the target has confirmed.")
    static let records = Metric(
        "df2redis_records_total", .counter, ["flow"], "Journal records that the target has confirmed.")
    static let queued = Metric(
        "df2redis_queued_bytes", .gauge, ["flow"], "Bytes that wait to be decoded, in memory and on disk.")
    static let queuedDisk = Metric("df2redis_queued_disk_bytes", .gauge, ["flow"], "Of them, those on disk: the spool.")
    static let lagSeconds = Metric(
        "df2redis_lag_seconds", .gauge, ["flow"], "Age of the oldest byte that is received and not applied.")
    static let lagRecords = Metric(
        "df2redis_lag_records", .gauge, ["flow"], "Records received and not applied; partly estimated by their size.")
    static let lagBytes = Metric("df2redis_lag_bytes", .gauge, ["flow"], "Bytes received and not applied.")
    static let targetSilence = Metric(
        "df2redis_target_silence_seconds", .gauge, ["flow"], "How long the target has owed an answer.")
    static let appliedLSN = Metric(
        "df2redis_applied_lsn", .gauge, ["flow"], "The next LSN to be applied; none before the journal.")
    static let acknowledgedLSN = Metric(
        "df2redis_acknowledged_lsn", .gauge, ["flow"], "The next LSN as last acknowledged to the source.")
    static let flows = Metric("df2redis_flows", .gauge, "Flows that are open.")
    static let batchSeconds = Metric(
        "df2redis_batch_duration_seconds", .histogram, "From the first byte of a batch to the target's confirmation.")

    static let sessions = Metric(
        "df2redis_sessions_total", .counter, "Sessions with the source that have got as far as a sync.")
    static let sessionFailures = Metric(
        "df2redis_session_failures_total", .counter, ["event"],
        "Sessions that ended by an error: sourceLost, targetLost, overflow or resync.")
    static let targetLosses = Metric(
        "df2redis_target_losses_total", .counter, "How often the target stopped serving while a session went on.")
    static let targetLost = Metric("df2redis_target_lost", .gauge, "1 while the target does not serve.")
    static let fullSyncs = Metric(
        "df2redis_full_syncs_total", .counter, ["reason"], "Full syncs that have begun, by their reason.")
    static let incidents = Metric(
        "df2redis_incidents_total", .counter, ["kind"], "What could not be replicated or differs, by kind.")
    static let sourceKeys = Metric("df2redis_source_keys", .gauge, "Keys of the source when the last full sync began.")
    static let targetKeys = Metric("df2redis_target_keys", .gauge, "Keys of the target in all databases.")
    static let sourceRoundTrip = Metric(
        "df2redis_source_round_trip_seconds", .gauge, "How long the source took to answer the last PING or TIME.")
    static let targetRoundTrip = Metric(
        "df2redis_target_round_trip_seconds", .gauge, "How long the target took to answer the last INFO.")
    static let refreshAsked = Metric(
        "df2redis_refresh_keys_asked_total", .counter, "Keys to be read at the source, each once until it is done.")
    static let refreshEnds = Metric(
        "df2redis_refresh_keys_total", .counter, ["end"],
        "Keys that are done: read and written, removed by the stream before they were read, left out by policy, or failed."
    )
    static let refreshRetries = Metric(
        "df2redis_refresh_retries_total", .counter, "Values that had changed before they were written.")
    static let refreshWaiting = Metric(
        "df2redis_refresh_waiting_keys", .gauge, "Keys that wait to be read at the source.")
    static let refreshBlocked = Metric(
        "df2redis_refresh_blocked", .gauge, "1 while the source's ACL forbids to read keys.")
    static let verifyPasses = Metric(
        "df2redis_verify_passes_total", .counter, "Times that every key of both sides has been compared.")
    static let verifyKeys = Metric(
        "df2redis_verify_keys", .gauge, "Keys that the pass under way has compared.")
    static let verifyFound = Metric(
        "df2redis_verify_differences_total", .counter, "Keys that were different, time and again.")
    static let certificateExpiry = Metric(
        "df2redis_client_certificate_expiry_seconds", .gauge, ["side"],
        "When the certificate that is shown to a side expires, in seconds of Unix time.")
    static let cpu = Metric("df2redis_cpu_seconds_total", .counter, "User and system time of the process.")
    static let resident = Metric("df2redis_resident_memory_bytes", .gauge, "Resident memory of the process.")
    static let descriptors = Metric("df2redis_open_descriptors", .gauge, "Open file descriptors of the process.")
}
