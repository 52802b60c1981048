"""What an agent is doing: tasks, steps, effects, questions, goals, and a briefing of it all.

It stands in sections of the state whose names start with "perdure.", and is written by the methods
of a session: `session.task`, `session.plan`, `session.ask` and so on.
"""
