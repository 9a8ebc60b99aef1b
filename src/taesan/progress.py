"""Progress on standard error, with rate and time left: a line that redraws on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType

FIRST_SECONDS = 2.0
TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 30.0


def duration(seconds: float) -> str:
    """`75` as `1:15`, `3700` as `1:01:40`."""
    whole = int(seconds + 0.5)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


class Progress:
    """Counts work done; says nothing during the first two seconds.

    `total` is in `unit`s, 0 where it is not known. Used as a context manager, so that the terminal's line is closed.
    """

    def __init__(self, title: str, *, total: int = 0, unit: str = "rows", start: int = 0, enabled: bool = True):
        self.title, self.total, self.unit, self.enabled = title, total, unit, enabled
        self.done = self._start = start
        self._terminal = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._next = self._begun + FIRST_SECONDS
        self._drawn = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            if kind is None:
                self._draw("")
            if self._terminal:
                sys.stderr.write("\n")
                sys.stderr.flush()

    def advance(self, amount: int = 1, note: str = "") -> None:
        """`amount` more are done; `note` (a loss, say) stands at the end of the line."""
        self.done += amount
        now = time.monotonic()
        if self.enabled and now >= self._next:
            self._next = now + (TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS)
            self._draw(note)

    def say(self, line: str) -> None:
        """A lasting line that does not collide with the progress line."""
        if self.enabled:
            sys.stderr.write(("\r\x1b[2K" if self._terminal and self._drawn else "") + line + "\n")
            sys.stderr.flush()

    def _draw(self, note: str) -> None:
        elapsed = max(time.monotonic() - self._begun, 1e-9)
        rate = (self.done - self._start) / elapsed
        parts = [f"{self.title}  {self.done:,}"]
        if self.total:
            parts[0] += f"/{self.total:,} {self.unit} ({100 * self.done / self.total:.0f}%)"
        else:
            parts[0] += f" {self.unit}"
        parts.append(f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2g} {self.unit}/s")
        if self.total and rate and self.done < self.total:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        elif self.done >= self.total:
            parts.append(duration(elapsed))
        if note:
            parts.append(note)
        line = "  ".join(parts)
        sys.stderr.write(f"\r\x1b[2K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()
        self._drawn = True
