"""One image: file formats, decoding, colour, crop and resize, perceptual hash, reasons for a rejection."""
