"""Amounts as Kubernetes writes them; compared, because the API server respells them."""

import re
from fractions import Fraction

_FORM = re.compile(r"^(-?[0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")
_FACTORS = {
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{unit: Fraction(1000) ** power for power, unit in enumerate("kMGTP", start=1)},
    **{f"{unit}i": Fraction(1024) ** power for power, unit in enumerate("KMGTP", start=1)},
}


def parse(text: str) -> Fraction | None:
    """Return the amount, or None where the text is no quantity.

    >>> parse("500m") == Fraction(1, 2)
    True
    """
    match = _FORM.match(text)
    return Fraction(match[1]) * _FACTORS[match[2] or ""] if match else None


def equal_quantities(one: object, other: object) -> bool:
    """Return whether both are quantities of the same amount.

    >>> equal_quantities("1000m", "1")
    True
    """
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    amount = parse(one)
    return amount is not None and amount == parse(other)
