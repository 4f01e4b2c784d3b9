"""The sentences of the embedded corpus: a small grammar of commands, numbers, dates and names."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

NAMES = """adam alice amanda andrew anna arthur barbara benjamin brian carol caroline charles christine daniel
david deborah diana donald dorothy edward eleanor elizabeth emily eric frank george grace hannah
harold helen henry isabel jack jacob james jennifer jessica john jonathan joseph joshua karen
katherine kenneth kevin laura linda lucy margaret maria martin mary matthew melissa michael michelle
nancy nicholas nicole oliver oscar pamela patricia patrick paul peter philip rachel rebecca richard
robert roger ronald ruth samuel sandra sarah simon sophia stephanie stephen susan teresa thomas
timothy victoria vincent virginia walter william"""
SURNAMES = """anderson baker bennett brooks campbell carter clark collins cooper edwards evans fisher foster
gibson graham hamilton harrison howard hughes jackson johnson kelly lewis marshall mitchell morgan
murphy nelson parker phillips reynolds richardson robinson russell sanders simpson stewart sullivan
taylor thompson walker watson williams wilson"""
CITIES = """amsterdam athens atlanta baltimore berlin boston brussels chicago cleveland dallas denver detroit
dublin geneva glasgow hamburg houston lisbon liverpool london madrid manchester memphis miami
montreal moscow munich nashville oslo oxford paris philadelphia phoenix portland prague rome seattle
stockholm sydney tokyo toronto vancouver venice vienna warsaw washington"""
ITEMS = """apples bananas batteries beans blankets bottles boxes bread butter candles carrots cheese chicken
chocolate coffee cookies eggs envelopes flour flowers garlic gloves honey juice lemons lettuce
magazines matches milk mushrooms napkins onions oranges pencils pepper pillows plates potatoes rice
salmon salt soap spoons stamps strawberries sugar tea tickets tomatoes towels vegetables vinegar
water"""
DEVICES = """alarm blinds camera ceiling computer dishwasher door fan fireplace fountain freezer heating lamp
lights machine monitor oven printer projector radio scanner speaker sprinkler television thermostat
window"""
ROOMS = """attic balcony basement bathroom bedroom corridor dining garage garden gallery hallway kitchen
laundry library nursery office pantry porch studio workshop"""
COLOURS = """black blue bright brown golden gray green orange pink purple red silver violet white yellow"""
MUSIC = """ballet blues classical country disco folk gospel jazz opera piano rock swing symphony violin"""
PLACES = """airport bakery bank bridge castle cathedral cinema college embassy factory harbor hospital hotel
market museum palace pharmacy restaurant school stadium station theater university village"""
EVENTS = """appointment birthday breakfast concert conference dinner exam festival flight interview lecture
lesson lunch meeting party picnic presentation rehearsal seminar wedding"""
WEATHER = "cloudy cold dry foggy freezing hot humid rainy snowy stormy sunny warm windy"
MONTHS = "january february march april may june july august september october november december"
DAYS = "monday tuesday wednesday thursday friday saturday sunday"
ORDINALS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"""
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"

RULES = {
    "sentence": """
    call <person> <when> | call <person> at the <place> | send <person> a message <when>
    | <send> <name> the <adjective> <document> | remind <name> about the <event> <when>
    | cancel my <event> with <person> <when> | move the <event> to <date>
    | turn <switch> the <room> <device> | set the <room> <device> to <number> <unit>
    | make the <room> lights <colour> | buy <quantity> of <item> and <item>
    | add <item> <item> and <item> to my list | order <small> <item> for <name>
    | <send> <name> <number> <item> | play <music> music in the <room> | play some <music> by <person>
    | drive <name> from <city> to <city> | find a <adjective> <place> in <city>
    | book <small> tickets to <city> <when> | will it be <weather> in <city> <when>
    | <city> was <weather> and <weather> last <day> | wake <name> at <clock>
    | set an alarm for <clock> <date> | the <event> starts at <clock> on <day>
    | the train to <city> leaves at <clock> | dial <digit> <digit> <digit> <digit> <digit>
    | <number> plus <number> | <number> minus <number> is <number> | <person> lives in <city>
    | <person> was born on <date> | <name> and <name> met <person> in <city>
    | put the <colour> <thing> on the <colour> <thing> | where did <person> leave the <colour> <thing>
    | read <document> <number> page <number> | <name> <verb> <name> <small> <adjective> <item>
    | <person> <verb> the <adjective> <colour> <thing>
    | <name> <verb> <person> a <colour> <thing> <when> | <number> <item> cost <number> dollars
    | pay <person> <number> dollars <when> | <adjective> <item> from <city>
    | <colour> <item> or <colour> <item> | <name> likes <music> and <weather> weather""",
    "send": "send | bring | sell | show | give | hand | lend | mail",
    "verb": "brought | sold | showed | gave | lent | promised | offered | sent",
    "person": "<name> | <name> <surname>",
    "when": "<day> | on <date> | at <clock> | tomorrow | tonight | this <part> | next <span> | <day> <part>",
    "date": "<month> <ordinal> | the <ordinal> of <month> | <day> the <ordinal>",
    "ordinal": "<teenth> | <teenth> | twenty <nth> | thirtieth | thirty first",
    "clock": "<small> <part12> | half past <small> | quarter to <small> | <small> <minutes>",
    "minutes": "ten | fifteen | twenty | thirty | forty | forty five | fifty",
    "part12": "in the <part> | o'clock | thirty",
    "part": "morning | afternoon | evening",
    "span": "week | month | weekend | year | summer | winter | spring | autumn",
    "number": """
    <small> | <teen> | <tens> | <tens> <digit> | <digit> hundred | <digit> thousand
    | <digit> hundred <tens>""",
    "tens": "twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety",
    "digit": "one | two | three | four | five | six | seven | eight | nine",
    "small": "one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve",
    "nth": "first | second | third | fourth | fifth | sixth | seventh | eighth | ninth",
    "quantity": "<small> pounds | a box | a bag | <small> bottles | a pair | half a dozen | <small> packets",
    "unit": "degrees | percent | minutes | hours",
    "switch": "on | off | up | down",
    "document": """
    letter | report | contract | invoice | manual | novel | recipe | speech | story | summary""",
    "thing": """
    bag | ball | bicycle | blanket | book | bottle | bowl | box | chair | coat | cup | guitar | hat
    | jacket | key | knife | ladder | mirror | notebook | package | scarf | suitcase | table | umbrella
    | vase | wallet""",
    "adjective": """
    ancient | broken | cheap | clean | dirty | empty | expensive | heavy | large | short | small
    | useful""",
    "day": DAYS,
    "month": MONTHS,
    "teenth": ORDINALS,
    "teen": TEENS,
    "name": NAMES,
    "surname": SURNAMES,
    "city": CITIES,
    "item": ITEMS,
    "device": DEVICES,
    "room": ROOMS,
    "colour": COLOURS,
    "music": MUSIC,
    "place": PLACES,
    "event": EVENTS,
    "weather": WEATHER,
}


@cache
def _alternatives(rule: str) -> tuple[tuple[str, ...], ...]:
    """The alternatives of a rule, each a tuple of words and ``<rule>`` references."""
    text = RULES[rule]
    return tuple(tuple(a.split()) for a in (text.split("|") if "|" in text else text.split()))


def sentence(random: np.random.Generator, rule: str = "sentence") -> str:
    """Draw a sentence of the grammar: lower-case words, all alternatives of a rule equally probable."""
    some = _alternatives(rule)
    symbols = some[int(random.integers(len(some)))]
    return " ".join(sentence(random, s[1:-1]) if s.startswith("<") else s for s in symbols)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word the grammar can produce, lower case, sorted."""
    return tuple(sorted({w for text in RULES.values() for w in re.sub(r"<\w+>|\|", " ", text).split()}))
