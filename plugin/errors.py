"""The wrong moments a person meets, each class named for what that person does next."""

from collections.abc import Mapping, Sequence


class OrderActionsError(Exception):
    """Something that was refused; the message is written for the person who asked."""


class NotAllowed(OrderActionsError):
    """The agent lacks a permission, or the amount is above a limit."""


class SignInAgain(OrderActionsError):
    """The session or the CRM's token is missing, expired or not ours."""


class NothingHere(OrderActionsError):
    """The order, action or run does not exist for this customer."""


class LookAgain(OrderActionsError):
    """The order changed, or the form is too old; nothing was done."""


class WaitForRun(OrderActionsError):
    """Another run is open on this order."""

    def __init__(self, message: str, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class AskAnAdmin(OrderActionsError):
    """Refunds are stopped by an alarm until an administrator lifts it; `raised` when this very try raised it."""

    def __init__(self, message: str, alarm_id: int, *, raised: bool) -> None:
        super().__init__(message)
        self.alarm_id = alarm_id
        self.raised = raised


class TooBusy(OrderActionsError):
    """The server carries as much as it can; nothing was done."""


class TooOften(OrderActionsError):
    """Too many requests within a minute; in so many `seconds` there is room again."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class TryLater(OrderActionsError):
    """Shopify, the CRM or the database does not answer just now; nothing was done."""


class ActInShopify(OrderActionsError):
    """This plugin cannot act on the order safely."""


class FixTheForm(OrderActionsError):
    """The form has mistakes; `by_field` has one sentence for each field."""

    def __init__(self, by_field: Mapping[str, str], others: Sequence[str] = ()) -> None:
        super().__init__("; ".join([*others, *by_field.values()]))
        self.by_field = dict(by_field)
        self.others = tuple(others)


class FixTheBundle(OrderActionsError):
    """The bundle has errors and does not start; the message holds every finding."""


class FixTheSetup(OrderActionsError):
    """A variable, file or port is missing or wrong."""
