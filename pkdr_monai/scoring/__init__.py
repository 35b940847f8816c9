"""Score label maps of any origin by the same Dice and HD95 as an evaluation: :func:`score_label_maps`."""

from pkdr_monai.scoring.cohort import Scored, score_label_maps, table, write_scores

__all__ = ["Scored", "score_label_maps", "table", "write_scores"]
