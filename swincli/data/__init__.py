"""Data: from a source of pictures to a store of images, and from the store to training batches.

- `preparing`: `swincli prepare-data`. `prepare` is the whole way; `ingest` is its loop, `workers` its processes.
- `sources`: folders, archives, databases, arrays and lists of pictures. Every kind becomes a `Source` with entries.
- `store`: the store's manifest, `reader` and writers; StyleGAN's zip and folder; `staging` and `verify`.
- `images`: one image: formats, decoding, colour, crop and resize, perceptual hash.
- `loader_order`: the order in which training reads the images.
"""
