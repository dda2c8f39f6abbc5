"""English country names, as analytics tools and CRMs write them, to ISO 3166-1 alpha-2."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_NAMES = """
AE United Arab Emirates|AR Argentina|AT Austria|AU Australia|BA Bosnia & Herzegovina|BA Bosnia and Herzegovina
BD Bangladesh|BE Belgium|BG Bulgaria|BO Bolivia|BR Brazil|BY Belarus|CA Canada|CH Switzerland|CL Chile|CN China
CO Colombia|CR Costa Rica|CY Cyprus|CZ Czechia|CZ Czech Republic|DE Germany|DK Denmark|DO Dominican Republic
DZ Algeria|EC Ecuador|EE Estonia|EG Egypt|ES Spain|FI Finland|FR France|GB United Kingdom|GB Great Britain
GE Georgia|GH Ghana|GR Greece|GT Guatemala|HK Hong Kong|HR Croatia|HU Hungary|ID Indonesia|IE Ireland|IL Israel
IN India|IQ Iraq|IR Iran|IS Iceland|IT Italy|JO Jordan|JP Japan|KE Kenya|KR South Korea|KW Kuwait|KZ Kazakhstan
LB Lebanon|LI Liechtenstein|LK Sri Lanka|LT Lithuania|LU Luxembourg|LV Latvia|MA Morocco|MD Moldova|ME Montenegro
MK North Macedonia|MT Malta|MX Mexico|MY Malaysia|NG Nigeria|NL Netherlands|NL The Netherlands|NO Norway|NP Nepal
NZ New Zealand|PA Panama|PE Peru|PH Philippines|PK Pakistan|PL Poland|PR Puerto Rico|PT Portugal|PY Paraguay
QA Qatar|RO Romania|RS Serbia|RU Russia|SA Saudi Arabia|SE Sweden|SG Singapore|SI Slovenia|SK Slovakia|TH Thailand
TN Tunisia|TR Türkiye|TR Turkey|TW Taiwan|UA Ukraine|US United States|US United States of America|UY Uruguay
UZ Uzbekistan|VE Venezuela|VN Vietnam|ZA South Africa
"""

BY_NAME: Mapping[str, str] = MappingProxyType(
    {entry[3:].lower(): entry[:2] for line in _NAMES.split("\n") for entry in line.split("|") if entry}
)
"""Lower-case English name -> alpha-2 code."""
