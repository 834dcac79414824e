"""Pictures on their way into training: from any source to a packed store, and from the store to a batch.

`sources` finds pictures and `entries` says what it finds; `images` and `colours` decode one, `shaping` crops and
resizes it, and `fitting` does so for many at once. `labels` gives them classes, `duplicates` (by `fingerprint`) knows
those that have been there, `splits` spreads them over parts, and `gathering` goes through them all with what `options`
ask for; what becomes known of each is `seen`, and of all of them `survey`.

`writers` are what images can become: `writing` a raw store, `encoded_writing` one of lossless files (`encoding`),
`pictures_writing` a zip or folder for other tools; `staging` puts it in its place, and `prepare` is the whole way.
`reporting` writes the page (`report_page`) and the contact sheet (`thumbnails`), and `stock` looks at what is there.

`manifest` and `store` describe and read a store, by its `shards`; `verification` checks it to the last byte, and
`loading` decides the order in which training sees it.
"""
