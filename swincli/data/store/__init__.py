"""Stores of images: manifest, reader and shards, writers (store, StyleGAN zip and folder), staging, verification."""
