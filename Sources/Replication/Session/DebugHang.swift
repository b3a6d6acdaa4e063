#if DEBUG
    import Dispatch
    import Glibc

    /// Makes a part of the daemon hang, to test the watchdog. `DF2REDIS_DEBUG_HANG=applier:5` blocks the applier of flow 0
    /// five beats after the start. Debug builds only.
    struct DebugHang {
        enum Part: String {
            case applier, reader, coordinator
        }

        let part: Part
        private var beats: Int

        init?(_ text: String? = getenv("DF2REDIS_DEBUG_HANG").map { String(cString: $0) }) {
            let words = (text ?? "").split(separator: ":")
            guard words.count == 2, let part = Part(rawValue: String(words[0])), let beats = Int(words[1]) else {
                return nil
            }
            self.part = part
            self.beats = beats
        }

        /// - Returns: `true` at the beat at which the part must hang.
        mutating func beat() -> Bool {
            beats -= 1
            return beats == 0
        }

        /// Makes the part hang. A queue hangs from its next turn on; the coordinator hangs because the call never returns.
        func hang(applier: DispatchQueue?, reader: DispatchQueue?) {
            switch part {
            case .applier: applier?.async { Self.hang() }
            case .reader: reader?.async { Self.hang() }
            case .coordinator: Self.hang()
            }
        }

        private static func hang() { while true { pause() } }
    }
#endif
