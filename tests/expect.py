"""What tests read, as the one kind that they expect."""

from pathlib import Path
from typing import TypeVar

from IPython.display import HTML, Image, Markdown

from secretjax import cases
from secretjax.cases import PredictCase, ReplayCase, StartState

T = TypeVar("T")


def there(found: T | None) -> T:
    """What is not None."""
    assert found is not None
    return found


def start(path: str | Path) -> StartState:
    """The memory that a case begins with."""
    return cases.start_of(cases.read(path))


def replay(path: str | Path) -> ReplayCase:
    """A recorded stream."""
    case = cases.read(path)
    assert isinstance(case, ReplayCase)
    return case


def predict(path: str | Path) -> PredictCase:
    """A case to predict."""
    case = cases.read(path)
    assert isinstance(case, PredictCase)
    return case


def said(shown: HTML | Image | Markdown) -> str:
    """What a notebook's cell shows, as text."""
    assert isinstance(shown.data, str)
    return shown.data
