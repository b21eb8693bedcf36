"""The names under which producers write the fields of events, the usual ones first."""

import re
from collections.abc import Callable

from encoder.data.mapping.proposals.fields import Field, Names

# Names without capitals and signs. A name also matches with the name of its object before: `user.id` is `userid`.
USUAL_NAMES = {
    "user": (
        "userid", "customerid", "visitorid", "memberid", "accountid", "clientid", "profileid", "uid", "user",
        "customer", "distinctid", "userpseudoid", "anonymousid", "deviceid", "cookieid", "guestid",
    ),
    "item": (
        "itemid", "productid", "articleid", "sku", "productsku", "itemsku", "contentid", "videoid",
        "movieid", "trackid", "songid", "assetid", "listingid", "offerid", "asin", "variantid", "bookid", "postid",
        "item", "product",
    ),
    "action": (
        "action", "eventtype", "eventname", "event", "actiontype", "interaction", "activity", "verb", "behavior",
        "type", "name",
    ),
    "time": (
        "eventtimems", "eventtime", "eventtimestamp", "timestamp", "timestampms", "ts", "tsms", "time", "occurredat",
        "happenedat", "createdat", "datetime", "date", "clienttimestamp", "originaltimestamp", "servertimestamp",
        "serverts", "receivedat", "sentat",
    ),
    "event_id": ("eventid", "messageid", "hitid", "insertid", "uuid", "guid", "requestid", "id"),
    "session": ("sessionid", "session", "visitid", "sid"),
    "category": (
        "category", "itemcategory", "productcategory", "categorycode", "categoryid", "categoryname", "department",
        "genre",
    ),
    "price": ("price", "unitprice", "itemprice", "saleprice", "productprice", "amount", "cost"),
    "brand": ("brand", "itembrand", "productbrand", "manufacturer", "vendor", "maker"),
    "item_name": ("itemname", "productname", "title", "producttitle", "itemtitle"),
}  # fmt: skip
_MOST_ACTIONS = 100  # distinct values of a field that may be an action
_SIGNS = re.compile(r"[^a-z0-9]")


def _is_id(field: Field) -> bool:
    return field.texts + field.whole_numbers >= field.count


def _is_mostly_distinct(field: Field) -> bool:
    return _is_id(field) and field.distinct >= 0.9 * min(field.count, 1000)


_FITS: dict[str, Callable[[Field], bool]] = {
    "user": _is_id,
    "item": _is_id,
    "action": lambda field: field.texts == field.count and field.distinct <= _MOST_ACTIONS,
    "time": lambda field: bool(field.units) and max(field.units.values()) >= 0.9 * field.count,
    "event_id": _is_mostly_distinct,
    "session": _is_id,
    "category": _is_id,
    "price": lambda field: field.prices >= 0.9 * field.count,
    "brand": lambda field: field.texts == field.count,
    "item_name": lambda field: field.texts == field.count,
}


def candidates(key: str, fields: dict[Names, Field]) -> list[Field]:
    """The fields that may be the source of a key, the best first. key: a key of USUAL_NAMES."""
    ranked = [
        (rank, len(field.names), -field.count, field)
        for field in fields.values()
        if (rank := _rank(key, field.names)) is not None and _FITS[key](field)
    ]
    return [field for *_, field in sorted(ranked, key=lambda one: one[:3])]


def _rank(key: str, names: Names) -> int | None:
    usual = USUAL_NAMES[key]
    last = _plain(names[-1])
    joined = _plain(names[-2]) + last if len(names) > 1 else last
    ranks = [usual.index(name) for name in (joined, last) if name in usual]
    return min(ranks) if ranks else None


def _plain(name: str) -> str:
    return _SIGNS.sub("", name.lower())


# Words in the name of an action -> the usual name of the action. The first entry whose words all stand in the name.
# An empty name keeps the found name, because "Cart Viewed" adds nothing to a cart.
_USUAL_ACTIONS = (
    (("list", "view"), ""),
    (("cart", "view"), ""),
    (("wish", "view"), ""),
    (("checkout",), ""),
    (("promotion",), ""),
    (("refund",), ""),
    (("cancel",), ""),
    (("remove", "cart"), "remove_from_cart"),
    (("cart",), "cart"),
    (("basket",), "cart"),
    (("product", "added"), "cart"),
    (("product", "removed"), "remove_from_cart"),
    (("wish",), "wishlist"),
    (("purchase",), "purchase"),
    (("order", "complet"), "purchase"),
    (("order", "paid"), "purchase"),
    (("bought",), "purchase"),
    (("buy",), "purchase"),
    (("click",), "click"),
    (("select",), "click"),
    (("product", "view"), "view"),
    (("item", "view"), "view"),
    (("view",), "view"),
)


def usual_action(found: str) -> str:
    """The usual name of an action, or the found name in lower case with underscores."""
    plain = found.lower()
    for words, action in _USUAL_ACTIONS:
        if all(word in plain for word in words):
            if action:
                return action
            break
    snake = re.sub(r"[^0-9a-z]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", found).lower()).strip("_")
    return snake or found
