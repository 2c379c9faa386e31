"""Matplotlib backend of the page's cells: figures are drawn by Agg and shown in the output of their cell."""

import live_cells
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

__all__ = ["FigureCanvas", "show"]


def show(*, block: bool | None = None) -> None:
    """plt.show(): show and close the open figures now instead of at the end of the cell."""
    live_cells.show_figures()
