"""Names of the categories, brands and items of the simulated shop."""

PRODUCTS: dict[str, tuple[float, tuple[str, ...]]] = {  # category -> (typical price, products)
    "footwear.trail": (95, ("trail shoes", "hiking boots", "approach shoes", "camp sandals", "gaiters")),
    "footwear.city": (80, ("sneakers", "loafers", "ankle boots", "slip-ons", "rain boots")),
    "clothing.jackets": (140, ("rain jacket", "down jacket", "wind shell", "fleece", "parka")),
    "clothing.basics": (28, ("t-shirt", "hoodie", "socks", "long sleeve", "beanie")),
    "clothing.sport": (45, ("running tights", "cycling jersey", "shorts", "base layer", "sports cap")),
    "camping.tents": (260, ("two-person tent", "tarp", "bivy", "family tent", "hammock")),
    "camping.kitchen": (38, ("gas stove", "cook set", "insulated bottle", "spork", "coffee press")),
    "camping.sleep": (110, ("sleeping bag", "sleeping mat", "travel pillow", "quilt", "liner")),
    "bags.packs": (120, ("daypack", "trekking pack", "duffel", "tote", "hip pack")),
    "bikes.parts": (52, ("saddle", "pedals", "bike light", "handlebar tape", "chain")),
    "bikes.clothing": (64, ("helmet", "gloves", "bib shorts", "overshoes", "cycling glasses")),
    "climbing.gear": (70, ("harness", "rope", "carabiner set", "chalk bag", "belay device")),
    "electronics.audio": (130, ("headphones", "earbuds", "speaker", "turntable", "microphone")),
    "electronics.wearables": (190, ("sports watch", "heart rate strap", "smart ring", "step counter", "watch strap")),
    "electronics.power": (42, ("power bank", "charger", "solar panel", "cable set", "headlamp")),
    "home.kitchen": (58, ("skillet", "chef's knife", "kettle", "cutting board", "mixing bowl")),
    "home.textiles": (48, ("linen sheets", "towel set", "throw", "cushion", "curtain")),
    "home.light": (75, ("desk lamp", "floor lamp", "lantern", "string lights", "night light")),
    "garden.tools": (34, ("pruner", "trowel", "watering can", "rake", "planter")),
    "beauty.care": (19, ("sunscreen", "hand cream", "shampoo bar", "face oil", "lip balm")),
    "pantry.coffee": (14, ("espresso beans", "filter coffee", "decaf", "cold brew", "cocoa")),
    "pantry.snacks": (6, ("oat bar", "trail mix", "dark chocolate", "dried mango", "rice crackers")),
    "books.outdoors": (24, ("trail guide", "river atlas", "field notes", "star chart", "map set")),
    "toys.games": (32, ("board game", "puzzle", "kite", "card deck", "building set")),
}

BRANDS = (
    *("Aurora", "Borealis", "Cairn", "Delta", "Eddy", "Fjord", "Glacier", "Harbour", "Isthmus", "Juniper"),
    *("Kestrel", "Lagoon", "Meander", "Nimbus", "Oxbow", "Piedmont", "Quarry", "Rapids", "Sierra", "Tundra"),
    *("Umber", "Vale", "Wren", "Xenolith", "Yarrow", "Zephyr", "Alder", "Basalt", "Cove", "Dune"),
    *("Ember", "Fern", "Gorse", "Heron", "Islet", "Jetty", "Kelp", "Larch", "Moraine", "Nook"),
)

COLOURS = (
    *("moss", "slate", "sand", "rust", "ink", "chalk", "plum", "ochre"),
    *("teal", "coral", "ash", "pine", "sky", "brick", "mint", "pearl"),
)


def product_name(brand: str, category: str, number: int) -> str:
    """The name of item `number` (from 0) of a brand in a category. All items have different names."""
    products = PRODUCTS[category][1]
    round_, product = divmod(number, len(products))
    name = f"{brand} {products[product]}"
    if not round_:
        return name
    edition, colour = divmod(round_ - 1, len(COLOURS))
    return f"{name}, {COLOURS[colour]}" + (f" {edition + 1}" if edition else "")
