"""Images with their regions drawn on them, as HTML and inline SVG, and the regions in words."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from evalkit.leaderboard.samples.media import Mark, ShownImage
from evalkit.leaderboard.wording import shown

_ENLARGED = 4  # times, at most


def picture(image: ShownImage | None, marks: Sequence[Mark], longest: int, name: str) -> Markup:
    """An image with its regions drawn on it, as HTML; an empty frame where it is not embedded and its size is known.

    Args:
        image: to be shown.
        marks: its regions, in pixels of ``image.width`` and ``image.height``.
        longest: the longer side, in pixels of the page; images are enlarged at most :data:`_ENLARGED` times.
        name: its own in the page, of letters and digits.
    """
    if image is None:
        return Markup()
    if image.width is None or image.height is None:
        return Markup('<p class="no-picture">Image <bdi>{}</bdi>: {}</p>').format(
            shown(image.path), shown(image.missing or "not there")
        )
    wide, high = image.width, image.height
    factor = min(longest / max(wide, high), _ENLARGED)
    drawn = Markup("").join(_drawn(mark, wide, high, 1 / factor, f"{name}-{i}", image) for i, mark in enumerate(marks))
    svg = Markup(
        '<svg viewBox="0 0 {wide} {high}" width="{w:.2f}" height="{h:.2f}" preserveAspectRatio="none" '
        'aria-hidden="true">{drawn}</svg>'
    ).format(wide=wide, high=high, w=wide * factor, h=high * factor, drawn=drawn)
    alt = shown(image.path) + (", with the region drawn on it" if drawn else "")
    if image.href is None:
        label = f"{alt}: {shown(image.missing or 'not there')}"
        frame = '<span class="picture frame" role="img" aria-label="{0}" title="{0}">{1}</span>'
        return Markup(frame).format(label, svg)
    whole = '<span class="picture"><img src="{}" alt="{}" title="{}" loading="lazy" decoding="async">{}</span>'
    return Markup(whole).format(image.href, alt, shown(image.path), svg)


def _drawn(mark: Mark, wide: int, high: int, unit: float, name: str, image: ShownImage) -> Markup:
    """A region as SVG in two tones, of which one is seen on any ground; ``unit`` is a pixel of the page."""
    if mark.box is not None:
        x0, y0, x1, y1 = mark.box
        at = f'x="{x0:g}" y="{y0:g}" width="{max(0.0, x1 - x0):g}" height="{max(0.0, y1 - y0):g}"'
        return Markup(f'<rect class="halo" {at}/><rect class="line" {at}/>')
    if mark.mask is not None:
        over = f'width="{wide}" height="{high}"'
        again = Markup('<image href="{}" {} preserveAspectRatio="none" mask="url(#{})"/>').format(
            image.href or "", Markup(over), name
        )
        return Markup(
            '<mask id="{name}"><image href="{mask}" {over} preserveAspectRatio="none"/></mask>'
            '<rect class="dim" {over}/>{again}<rect class="tint" {over} mask="url(#{name})"/>'
        ).format(name=name, mask=mark.mask, over=Markup(over), again=again if image.href else "")
    return Markup("").join(_point(x, y, positive, unit) for x, y, positive in mark.points)


def _point(x: float, y: float, positive: bool, unit: float) -> Markup:
    arm = 7 * unit
    if positive:
        at = f'cx="{x:g}" cy="{y:g}"'
        ring = f'{at} r="{arm:.3f}"'
        spot = f'<circle class="spot" {at} r="{2 * unit:.3f}"/>'
        return Markup(f'<circle class="halo" {ring}/><circle class="line" {ring}/>{spot}')
    left, right, top, bottom = (f"{value:.3f}" for value in (x - arm, x + arm, y - arm, y + arm))
    d = f"M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"
    return Markup(f'<path class="halo" d="{d}"/><path class="line" d="{d}"/>')


def region(marks: Sequence[Mark]) -> str:
    """Regions in words, for who does not see them drawn."""
    found = []
    for mark in marks:
        if mark.missing is not None:
            found.append(f"Region not drawn: {shown(mark.missing)}.")
        elif mark.box is not None:
            found.append("Box " + ", ".join(f"{value:g}" for value in mark.box) + " (left, top, right, bottom).")
        elif mark.mask is not None:
            found.append("Mask: what it leaves out is dimmed.")
        else:
            inside = [f"({x:g}, {y:g})" for x, y, positive in mark.points if positive]
            outside = [f"({x:g}, {y:g})" for x, y, positive in mark.points if not positive]
            found.append("Points " + ", ".join(inside) + (f", not {', '.join(outside)}" if outside else "") + ".")
    return " ".join(found)
