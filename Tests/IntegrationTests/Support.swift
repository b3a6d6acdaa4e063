import Foundation
import Lab

/// The folder of the recorded masters.
let recordingsFolder = Bundle.module.bundlePath + "/Recordings"

func recording(_ name: String) -> Recording { Recording(name, in: recordingsFolder) }

extension [UInt8] {
    init(_ text: String) { self = Array(text.utf8) }
}
