"""The eight colours of the example's shapes."""

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 26),
    "yellow": (250, 222, 45),
    "green": (44, 160, 70),
    "blue": (38, 92, 210),
    "purple": (128, 62, 170),
    "pink": (244, 130, 185),
    "brown": (122, 74, 36),
}
"""The colours by name, as 8-bit RGB. A pixel has one of these values exactly or it is background."""
