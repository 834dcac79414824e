"""Pictures on their way into training: from any source to a packed store, and from the store to a batch.

`sources` and `builtin` find pictures, `images` decodes, crops and resizes one, `fitting` does so for many at once,
`labels` gives them classes, `writing` and `staging` put the store on the disk, and `prepare` is the whole way.
`manifest` and `store` describe and read a store, `verification` checks it to the last byte, and `loading` decides the
order in which training sees it.
"""
