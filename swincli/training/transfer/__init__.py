"""Starting from other weights (`train.init`): read any checkpoint, load matching layers, transfer learning."""
