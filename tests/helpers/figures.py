"""What a test asks of a figure."""


def texts(figure):
    found = [t.get_text() for axes in figure.axes for t in axes.texts]
    found += [axes.get_title() + axes.get_title(loc="left") for axes in figure.axes]
    found += [axes.get_xlabel() for axes in figure.axes]
    return [t for t in found if t]


def nothing_is_cut_off(figure):
    """Every visible text lies inside the figure."""
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    for axes in figure.axes:
        box = axes.get_tightbbox()
        if box is not None:
            assert box.x0 >= -1
            assert box.y0 >= -1
            assert box.x1 <= width + 1
            assert box.y1 <= height + 1


def shown(figure):
    """Axes that hold a picture, in reading order."""
    return [axes for axes in figure.axes if axes.images]


def photographs_in(figure):
    return [i for a in figure.axes for i in a.images if i.get_array().ndim == 3]
