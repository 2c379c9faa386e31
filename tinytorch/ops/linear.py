"""Products of vectors, matrices and more: all of them made of module 01's matmul, mul and sum."""

import numpy as np

from ..core.tensor import Tensor, matmul, mul, permute, reshape, sum
from .elementwise import add
from .shapes import diagonal

ELLIPSIS_LETTERS = "αβγδεζηθικλμνξοπ"
PATH_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # what np.einsum_path reads


def check_rank(name, **tensors):
    """Each tensor must have the rank that goes with it, as in check_rank("mm", a=(a, 2))."""
    for argument, (tensor, rank) in tensors.items():
        if tensor.ndim != rank:
            raise ValueError(f"{name}: {argument} needs {rank} dimensions, its shape is {tensor.shape}")


def mm(a, mat2):
    """The product of two matrices, without broadcasting."""
    check_rank("mm", a=(a, 2), mat2=(mat2, 2))
    return matmul(a, mat2)


def mv(a, vec):
    """The product of a matrix and a vector."""
    check_rank("mv", a=(a, 2), vec=(vec, 1))
    return matmul(a, vec)


def dot(a, other):
    """The inner product of two vectors: a 0-d tensor."""
    check_rank("dot", a=(a, 1), other=(other, 1))
    return matmul(a, other)


def bmm(a, mat2):
    """The products of two batches of matrices: (b, m, k) with (b, k, n) gives (b, m, n)."""
    check_rank("bmm", a=(a, 3), mat2=(mat2, 3))
    if a.shape[0] != mat2.shape[0]:
        raise ValueError(f"bmm: the batches have {a.shape[0]} and {mat2.shape[0]} matrices")
    return matmul(a, mat2)


def outer(a, vec2):
    """Every product of an element of a and an element of vec2: (n,) and (m,) give (n, m)."""
    check_rank("outer", a=(a, 1), vec2=(vec2, 1))
    return mul(reshape(a, (-1, 1)), vec2)


def addmm(a, mat1, mat2, beta=1, alpha=1):
    """beta·a + alpha·(mat1 @ mat2)."""
    product = mm(mat1, mat2)
    return add(product if alpha == 1 else mul(product, alpha), a, beta)


def baddbmm(a, batch1, batch2, beta=1, alpha=1):
    """beta·a + alpha·(batch1 @ batch2), batch by batch."""
    product = bmm(batch1, batch2)
    return add(product if alpha == 1 else mul(product, alpha), a, beta)


def einsum(equation, *operands):
    """Einstein's sum: einsum("bik,bkj->bij", x, y) is a batched matrix product.

    Letters missing on the right are summed over; without "->" the letters that occur once stay, in
    alphabetical order; "..." stands for dimensions that broadcast. Several operands are contracted two
    by two in the order that np.einsum_path finds; every contraction is one matmul.
    """
    operands = operands[0] if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    terms, result = parse(equation, [operand.shape for operand in operands])
    sizes = letter_sizes(terms, operands)
    pool = [unique_letters(term, operand) for term, operand in zip(terms, operands, strict=True)]
    for i, j in contraction_order(terms, result, sizes):
        (term_b, b), (term_a, a) = pool.pop(max(i, j)), pool.pop(min(i, j))
        needed = set(result).union(*(term for term, _ in pool))
        pool.append(contract(term_a, a, term_b, b, needed))
    term, out = pool[0]
    term, out = summed_away(term, out, set(result))
    missing = "".join(letter for letter in result if letter not in term)  # ellipsis dimensions of size 1
    out = reshape(out, (1,) * len(missing) + out.shape)
    return permute(out, tuple((missing + term).index(letter) for letter in result))


def parse(equation, shapes):
    """The letters of each operand and of the result, with a letter for each dimension of an ellipsis."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum: '{equation}' names {len(terms)} operands and {len(shapes)} came")
    expanded, most = [], ""
    for term, shape in zip(terms, shapes, strict=True):
        extra = len(shape) - len(term.replace("...", ""))
        if extra < 0 or (extra and "..." not in term):
            raise ValueError(f"einsum: '{term}' does not fit the shape {shape}")
        letters = ELLIPSIS_LETTERS[len(ELLIPSIS_LETTERS) - extra :]
        most = max(most, letters, key=len)
        expanded.append(term.replace("...", letters))
    if not arrow:
        once = sorted(letter for letter in set(left) - {",", "."} if left.count(letter) == 1)
        right = ("..." if most else "") + "".join(once)
    result = right.replace("...", most)
    known = set("".join(expanded))
    if len(set(result)) != len(result) or not set(result) <= known:
        raise ValueError(f"einsum: the result '{right}' needs letters of the operands, each at most once")
    return expanded, result


def letter_sizes(terms, operands):
    """The size that each letter stands for; 1 broadcasts."""
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for letter, size in zip(term, operand.shape, strict=True):
            known = sizes.setdefault(letter, size)
            if 1 not in (known, size) and known != size:
                raise ValueError(f"einsum: '{letter}' stands for both {known} and {size}")
            sizes[letter] = size if known == 1 else known
    return sizes


def contraction_order(terms, result, sizes):
    """Pairs of positions in the shrinking list of operands, the cheapest order that a greedy search finds."""
    if len(terms) < 3:
        return [(0, 1)] * (len(terms) - 1)
    plain = dict(zip(sizes, PATH_LETTERS, strict=False))
    spelled = ["".join(plain[letter] for letter in term) for term in [*terms, result]]
    stand_ins = [np.broadcast_to(np.float32(0), [sizes[letter] for letter in term]) for term in terms]
    path, _ = np.einsum_path(",".join(spelled[:-1]) + "->" + spelled[-1], *stand_ins, optimize="greedy")
    pairs: list[tuple[int, int]] = []
    waiting: list[object] = list(range(len(terms)))
    for step in path[1:]:
        first, *others = [waiting[place] for place in step]
        for number, other in enumerate(others):  # a step over more than two operands is taken in pairs
            pairs.append((waiting.index(first), waiting.index(other)))
            waiting.remove(first)
            waiting.remove(other)
            first = (tuple(step), number)
            waiting.append(first)
    return pairs


def unique_letters(term, operand):
    """A repeated letter means the diagonal: 'iij' becomes 'ji'."""
    for letter in term:
        if term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            rest = "".join(x for place, x in enumerate(term) if place not in (first, second))
            return unique_letters(rest + letter, diagonal(operand, 0, first, second))
    return term, operand


def summed_away(term, operand, needed):
    """Sum over the letters that nobody needs any more."""
    dims = tuple(place for place, letter in enumerate(term) if letter not in needed)
    return "".join(letter for letter in term if letter in needed), sum(operand, dims) if dims else operand


def contract(term_a, a, term_b, b, needed):
    """One matmul for two operands: shared letters are the batch or the inner dimension, the others stay."""
    term_a, a = summed_away(term_a, a, needed | set(term_b))
    term_b, b = summed_away(term_b, b, needed | set(term_a))
    shared = [letter for letter in term_a if letter in term_b]
    batch = [letter for letter in shared if letter in needed]
    inner = [letter for letter in shared if letter not in needed]
    rows = [letter for letter in term_a if letter not in shared]
    columns = [letter for letter in term_b if letter not in shared]
    size_a, size_b = dict(zip(term_a, a.shape, strict=True)), dict(zip(term_b, b.shape, strict=True))
    if not inner:  # an outer product, which broadcasting gives without a loop over tiny matrices
        a = permute(a, tuple(term_a.index(letter) for letter in batch + rows))
        b = permute(b, tuple(term_b.index(letter) for letter in batch + columns))
        between = b.shape[: len(batch)] + (1,) * len(rows) + b.shape[len(batch) :]
        product = mul(reshape(a, a.shape + (1,) * len(columns)), reshape(b, between))
        return "".join(batch + rows + columns), product
    for letter in inner:  # a size of 1 broadcasts against the other's
        if size_a[letter] != size_b[letter]:
            a, b = widened(a, term_a, letter, size_b[letter]), widened(b, term_b, letter, size_a[letter])
            size_a[letter] = size_b[letter] = max(size_a[letter], size_b[letter])
    matrix_a = arranged(a, term_a, batch, rows, inner, size_a)  # (*batch, rows, inner)
    matrix_b = arranged(b, term_b, batch, inner, columns, size_b)  # (*batch, inner, columns)
    out = matmul(matrix_a, matrix_b)
    shape = (*out.shape[:-2], *(size_a[x] for x in rows), *(size_b[x] for x in columns))
    return "".join(batch + rows + columns), reshape(out, shape)


def widened(operand, term, letter, size):
    """The operand with a dimension of size 1 repeated."""
    at = term.index(letter)
    return operand.expand(*operand.shape[:at], max(size, operand.shape[at]), *operand.shape[at + 1 :])


def arranged(operand, term, batch, first, second, sizes):
    """The operand as a batch of matrices: the letters of `first` merged into rows, `second` into columns."""
    ordered = permute(operand, tuple(term.index(letter) for letter in [*batch, *first, *second]))
    merged = (int(np.prod([sizes[x] for x in letters])) for letters in (first, second))
    return reshape(ordered, (*(sizes[x] for x in batch), *merged))
