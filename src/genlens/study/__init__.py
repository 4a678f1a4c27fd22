"""A study with people: a blinded, randomised questionnaire page, its analysis, and how many people it needs."""

from __future__ import annotations
