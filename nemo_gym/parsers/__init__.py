"""What a model's text says: tags, numbers, boxes, JSON, tool calls, actions, code; each read in linear time."""
