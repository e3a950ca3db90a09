"""The word with which the parts of the planner give up on a SELECT."""


class NotPushable(Exception):
    """This SELECT is for the coordinating pod: no error, its rows are gathered. Says why, for those who read plans."""
