import Foundation

/// A server that runs a script for each connection, on a separate thread.
package final class ScriptedServer: Sendable {
    /// A connection as the script sees it; it is closed when the script has ended.
    package struct Connection: Sendable {
        package let descriptor: Int32

        /// Receives the bytes that have arrived, or waits for them; empty once the client has sent its FIN.
        package func receive() -> String {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(descriptor, &buffer, buffer.count)
            return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
        }

        package func send(_ text: String) { _ = write(descriptor, text, text.utf8.count) }

        /// Makes the connection end with RST when it is closed.
        package func closesWithReset() {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
    }

    package var port: UInt16 { listener.port }
    private let listener: Listener

    /// - Parameter script: gets the connection and its number, from 0.
    package init(_ script: @escaping @Sendable (Connection, Int) -> Void) throws {
        let listener = try Listener()
        self.listener = listener
        Thread {
            var number = 0
            while let descriptor = listener.accept() {
                let connection = (Connection(descriptor: descriptor), number)
                Thread {
                    script(connection.0, connection.1)
                    close(descriptor)
                }.start()
                number += 1
            }
        }.start()
    }

    package convenience init(_ script: @escaping @Sendable (Connection) -> Void) throws {
        try self.init { connection, _ in script(connection) }
    }

    deinit { listener.stop() }
}
