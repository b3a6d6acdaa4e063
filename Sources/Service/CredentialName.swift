extension String {
    /// What a part of the program says that knows servers and no task, with the task's name in that of the credential to be set.
    func namingCredentials(of task: String) -> String { replacing("<task>.", with: "\(task).") }
}
