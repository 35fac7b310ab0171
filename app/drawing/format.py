"""Numbers and times in the form in which people read them."""

from __future__ import annotations


def count(value: int) -> str:
    """1234567 -> "1,234,567"."""
    return f"{value:,}"


def plural(value: int, one: str, many: str = "") -> str:
    """ "1 document", "2 documents"."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def size(value: int) -> str:
    """Bytes with a decimal prefix: 1_500_000 -> "1.5 MB"."""
    amount = float(max(0, value))
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def duration(seconds: float | None) -> str:
    """A time span in its two largest units: 75 -> "1 min 15 s". Empty for None."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def milliseconds(value: float) -> str:
    """Latency with a sensible number of digits: 0.42, 3.1, 128 ms, 1.24 s."""
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def score(value: float) -> str:
    """A score to four significant digits, never in exponent form where it would be longer."""
    if value == 0:
        return "0"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def signed(value: float) -> str:
    """A weight with its sign."""
    return f"{'+' if value >= 0 else '−'}{score(abs(value))}"


def shorten(text: str, most: int) -> str:
    """At most `most` characters, the last one an ellipsis where text was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
