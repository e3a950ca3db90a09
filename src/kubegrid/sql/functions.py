"""Which functions may run in the partitions: those that make the same value of the same arguments, everywhere.

Two lists rather than one: sqlglot has classes for the functions that it knows, of which some are refused here; of those
that it does not know, only the ones listed are allowed. What is not allowed is not an error; it runs at the coordinating
pod, once, over gathered rows. The names are DuckDB's; a test asks DuckDB about each of them.
"""

from typing import Any

from sqlglot import exp

_AGGREGATES = """
    approx_top_k arbitrary arg_max_null arg_max_nulls_last arg_min_null arg_min_nulls_last bitstring_agg combine_aggr count_star
    decimal_average entropy favg fsum geomean geometric_mean histogram histogram_exact json_group_array
    json_group_object json_group_structure kahan_sum kurtosis_pop lttb mad mean product reservoir_quantile sem
    sum_no_overflow sumkahan variant_group_array variant_group_object wavg weighted_avg
"""
AGGREGATES = frozenset(_AGGREGATES.split())
"""Aggregates that sqlglot does not know as such. DuckDB's macros that are made of aggregates are among them."""

_ROW_FUNCTIONS = """
    add bar base64 bin bit_count bit_position century damerau_levenshtein date_diff date_part date_sub date_trunc
    datediff datepart datesub datetrunc days_in_month decade decode divide epoch_ns epoch_us era even fdiv fmod
    format_bytes formatreadabledecimalsize formatreadablesize from_binary from_hex gamma gcd greatest_common_divisor
    hamming hash isfinite isoyear jaccard jaro_similarity jaro_winkler_similarity json_array_length json_contains
    json_exists json_quote json_structure json_valid json_value julian lcm least_common_multiple left_grapheme
    length_grapheme lgamma list_aggr list_aggregate list_cat list_element list_extract list_has_all list_indexof
    list_intersect list_pack list_position list_slice list_unique make_timestamp_ms make_timestamptz md5_number
    microsecond millennium millisecond mismatches multiply nanosecond nextafter nfc_normalize octet_length ord
    parse_dirname parse_dirpath parse_filename parse_path prefix printf regexp_escape regexp_extract
    regexp_extract_all regexp_replace regexp_split_to_array right_grapheme round_even roundbankers row row_to_json
    set_bit signbit strip_accents strlen struct_concat struct_keys struct_values substring_grapheme subtract suffix
    timezone timezone_hour timezone_minute to_base to_centuries to_decades to_hours to_json to_microseconds
    to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_weeks to_years try_strptime unbin
    url_decode url_encode weekday yearweek
"""
ROW_FUNCTIONS = frozenset(_ROW_FUNCTIONS.split())
"""Functions of one row that sqlglot does not know, or not whole (`as_written`), and that are as good in a partition as
anywhere."""

TABLE_FUNCTIONS = frozenset(("range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row"))
"""Those in FROM that make rows of their arguments; all others are refused: they read files, settings, other SQL."""

_NOT_HERE: tuple[type[Any], ...] = (
    *(exp.AggFunc, exp.Rand, exp.Randn, exp.Uuid, exp.NextValueFor),
    *(exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.CurrentDatetime, exp.Localtime, exp.Localtimestamp),
    *(exp.CurrentUser, exp.CurrentSchema, exp.CurrentCatalog, exp.CurrentDatabase, exp.SessionUser, exp.CurrentSchemas),
    *(exp.Unnest, exp.Explode, exp.Posexplode, exp.GenerateSeries),
    *(exp.Select, exp.SetOperation, exp.Subquery, exp.Exists, exp.Window, exp.Columns, exp.Star),
    *(exp.Lambda, exp.Comprehension, exp.Placeholder, exp.Parameter, exp.Dot, exp.Distinct, exp.Filter),
    *(exp.IgnoreNulls, exp.WithinGroup, exp.Order, exp.Pivot, exp.Command),
)
"""Also what is no function of one row: queries, windows, what is inside of aggregates only."""
_VOLATILE = _NOT_HERE[1 : _NOT_HERE.index(exp.Unnest)]


def is_aggregate(node: exp.Expression) -> bool:
    if isinstance(node, exp.AggFunc):
        return True
    return isinstance(node, exp.Anonymous) and node.name.lower() in AGGREGATES


def runs_per_row(node: exp.Expression) -> bool:
    """Whether the expression is a function of one row and nothing else, so that it may run in a partition."""
    for each in node.walk():
        if isinstance(each, _NOT_HERE):
            return False
        if isinstance(each, exp.Anonymous) and each.name.lower() not in ROW_FUNCTIONS:
            return False
    return True


def deterministic(node: exp.Expression) -> bool:
    """Whether it gives the same in every partition, aggregates included."""
    for each in node.walk():
        if isinstance(each, _VOLATILE):
            return False
        if isinstance(each, exp.Anonymous) and each.name.lower() not in ROW_FUNCTIONS | AGGREGATES:
            return False
    return True


def is_window_function(node: exp.Expression) -> bool:
    """Whether it is what a window computes, as the sum in `sum(x) OVER ()`; what stands inside of it is not."""
    child, above = node, node.parent
    while isinstance(above, exp.Filter | exp.IgnoreNulls | exp.RespectNulls) and above.this is child:
        child, above = above, above.parent
    return isinstance(above, exp.Window) and above.this is child


def has_aggregate(node: Any) -> bool:
    """Whether an aggregate stands in it that no window computes."""
    return any(is_aggregate(each) and not is_window_function(each) for each in node.walk())
