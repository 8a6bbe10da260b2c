#!/usr/bin/python3
"""Reads windows as a screen reader does.

For each process id on stdin it prints one line: a JSON list of everything the windows of that process show, each
with role, name, text and place on the screen; an empty list while the process has no window.
"""
import json
import sys

import pyatspi


def application(pid):
    desktop = pyatspi.Registry.getDesktop(0)
    for index in range(desktop.childCount):
        child = desktop.getChildAtIndex(index)
        if child is not None and child.get_process_id() == pid:
            return child
    return None


def text_of(node):
    try:
        return node.queryText().getText(0, -1)
    except Exception:
        return ""


def describe(node, found):
    # A control may vanish while it is looked at.
    try:
        node.clear_cache()
        item = {"role": node.getRoleName(), "name": node.name or "", "text": text_of(node)}
        try:
            place = node.queryComponent().getExtents(pyatspi.DESKTOP_COORDS)
            item.update(x=place.x, y=place.y, width=place.width, height=place.height)
        except Exception:
            item.update(x=0, y=0, width=0, height=0)
        found.append(item)
        children = [node.getChildAtIndex(index) for index in range(node.childCount)]
    except Exception:
        return
    for child in children:
        if child is not None:
            describe(child, found)


for line in sys.stdin:
    found = []
    try:
        root = application(int(line))
        if root is not None:
            describe(root, found)
    except Exception as error:
        print(error, file=sys.stderr)
    print(json.dumps(found), flush=True)
