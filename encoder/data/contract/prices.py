"""Reads a price that is a text, such as "12.50", "EUR 11.76", "2,06" or "40.37 €"."""

import re

# A currency is a code of three letters, or a sign such as €, $ or US$, before or after the number.
_CURRENCY = r"(?:[A-Z]{3}|[A-Z]{0,2}[$¢-¥฿₠-⃏﷼])?"
_NUMBER = (
    r"(?P<number>[+-]?(?:"
    r"\d+(?:\.\d*)?|\.\d+"  # 12, 12.5
    r"|\d+,\d{1,2}"  # 2,06: a comma with one or two digits behind the comma stands for a decimal point
    r"|\d{1,3}(?:[ ,']\d{3})+\.\d{1,2}"  # 1,234.50
    r"|\d{1,3}(?:[ .']\d{3})+,\d{1,2}"  # 1.234,50
    r"))"
)
_PRICE = re.compile(rf"(?P<sign>[+-]?){_CURRENCY}\s*{_NUMBER}\s*{_CURRENCY}")
_LONGEST = 64  # characters


def price_from_text(text: str) -> float | None:
    """The number of a price. None where the text is no price, or where the text has two meanings, such as "1,234".

    The number may be negative, infinite or NaN. The caller decides what such a number means.
    """
    try:
        return float(text)
    except ValueError:
        pass
    found = _PRICE.fullmatch(text.strip().replace("\N{NO-BREAK SPACE}", " ")) if len(text) <= _LONGEST else None
    if found is None or (found["sign"] and found["number"][0] in "+-"):
        return None
    number = found["sign"] + found["number"]
    if "," in number and number.rindex(",") > number.rfind("."):
        number = number.replace(".", "").replace(",", ".")
    return float(re.sub("[ ,']", "", number))
