"""The word error rate, by which speech recognizers are compared."""


def word_errors(reference, heard):
    """Return how many words must be replaced, added or taken away to get from one list to the other."""
    row = list(range(len(heard) + 1))  # of Levenshtein's matrix
    for i, word in enumerate(reference, 1):
        above, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
    return row[-1]
