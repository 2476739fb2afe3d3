"""Reads the number in the middle of a picture by OCR."""

import re

import cv2
import numpy as np
from medianode import Frame, Node
from rapidocr_onnxruntime import RapidOCR


class Reader(Node):
    """Gives what is written in a region of each picture, and how sure the recognizer is."""

    def load(self):
        """Runs once a container: the models come with the package."""
        self.ocr = RapidOCR()

    def process(self, frame):
        """Reads one picture."""
        left, top, width, height = self.params["region"]
        region = frame.numpy()[top : top + height, left : left + width]  # a view, no copy
        found, _ = self.ocr(line(region), use_det=False, use_cls=False)
        text, confidence = found[0] if found else ("", 0.0)
        self.metrics.histogram("confidence").observe(confidence)
        number = re.fullmatch(r"F(\d+)", text)
        if number is None:
            self.log.warning("no number", picture=frame.sequence, text=text)
            return None
        reading = {"picture": frame.sequence, "read": int(number[1]), "confidence": round(float(confidence), 3)}
        return Frame.from_json(reading)


def line(region):
    """Return what is dark in a region as a line of text of the height that the recognizer was trained for."""
    dark = cv2.cvtColor(region, cv2.COLOR_RGB2GRAY) < 128
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    if len(rows) == 0:
        return region
    text = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(1, round(text.shape[1] * 32 / text.shape[0]))
    text = cv2.resize(text, (width, 32), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(text, 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=(255, 255, 255))
