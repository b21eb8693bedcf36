"""Query parameters that a path does not have, or that stand too often."""

import pytest

from tests.tools.serving import application, ask

RECOMMENDATIONS = "/v1/users/u/recommendations"
HAS_NONE = "this path has no parameter 'k', and no others: leave the parameter out"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        (f"{RECOMMENDATIONS}?k=5&pricemax=3", "this path has no parameter 'pricemax': did you mean price_max?"),
        (f"{RECOMMENDATIONS}?item=i-1", "this path has no parameter 'item': did you mean items?"),
        (f"{RECOMMENDATIONS}?K=5", "this path has no parameter 'K': did you mean k?"),
        (f"{RECOMMENDATIONS}?k=5&k=6&category=a", "k stands 2 times, and may stand once: send one value"),
        (f"{RECOMMENDATIONS}?given=1", "this path has no parameter 'given': "),
        (f"{RECOMMENDATIONS}?{'x' * 3000}", f"this path has no parameter '{'x' * 80}...': "),
        (f"{RECOMMENDATIONS}?caf%C3%A9", "this path has no parameter 'café': "),
        (f"{RECOMMENDATIONS}?%FF", "this path has no parameter '\N{REPLACEMENT CHARACTER}': "),
        ("/v1/users/u/representation?k=5", HAS_NONE),
        ("/v1/catalogue?k=5", HAS_NONE),
        ("/v1/live?k=5", HAS_NONE),
        ("/v1/users/u/explanation?item_id=i", "this path has no parameter 'item_id': did you mean item?"),
        ("/v1/users/u/churn?day=5", "this path has no parameter 'day': did you mean days?"),
    ],
)
def test_an_unknown_or_repeated_parameter_is_refused_by_name(path: str, detail: str) -> None:
    answer = ask(application(), "GET", path)
    assert (answer.status_code, answer.json()["type"]) == (422, "invalid-request")
    assert answer.json()["detail"].startswith(detail)
    assert len(answer.text) < 500


@pytest.mark.parametrize(
    "query",
    [
        "k=5",
        "exclude=a&exclude=b&items=c&items=d&category=e&category=f&k=5",
        "&k=5&&price_max=3&",
        "cat%65gory=bags&new_da%79s=3",
        "exclude_recent=true&exclude_bought=true&scenario=home&price_min=1",
    ],
)
def test_the_parameters_of_the_document_pass(query: str) -> None:
    answer = ask(application(), "GET", f"{RECOMMENDATIONS}?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (503, "no bundle is active")


def test_a_post_and_a_head_are_held_to_their_parameters_and_another_method_is_named_first() -> None:
    app = application()
    assert ask(app, "POST", "/v1/rank?k=5", json={"user_id": "u", "item_ids": ["i"]}).json()["detail"] == HAS_NONE
    assert ask(app, "HEAD", "/v1/catalogue?k=5").status_code == 422
    assert ask(app, "GET", "/v1/rank?k=5").status_code == 405
