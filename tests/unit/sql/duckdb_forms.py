"""Queries of every form that DuckDB knows and sqlglot has to keep, over a table `t` with four rows."""

TABLE = [
    """CREATE TABLE t(i INT, j BIGINT, d DOUBLE, dc DECIMAL(10,2), s VARCHAR, b BOOLEAN, dt DATE, ts TIMESTAMP, js JSON,
    bl BLOB, u UUID, tm TIME)""",
    r"""INSERT INTO t VALUES
    (7, -3, 2.5, 12.34, 'Hello World', true, '2024-02-29', '2024-02-29 13:45:30.123456',
     '{"a":{"b":[1,2]},"c":"x"}', '\xAA', '00000000-0000-0000-0000-000000000005', '10:20:30'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (-8, 5, -0.5, -1.50, 'ab,c', false, '1999-12-31', '1999-12-31 00:00:00',
     '{"a":null}', 'abc'::BLOB, '00000000-0000-0000-0000-00000000000a', '00:00:00'),
    (2, 2, 1e10, 0.01, '', NULL, '2020-01-01', '2020-06-01 12:00:00', '[1,2,3]', '', NULL, NULL)""",
]

_ROWS = r"""
i/2 ; i//2 ; j%3 ; i**2 ; i^2 ; -i%3 ; i&3 ; i|8 ; i>>1 ; ~i ; xor(i,3) ; @j ; abs(j) ; d/0 ; i/0 ; round(dc,1) ;
round(i,-1) ; round(d) ; trunc(d) ; ceil(d) ; floor(d) ; sign(d) ; sqrt(abs(d)) ; log(abs(d)+1) ; log2(8) ;
log10(100) ; ln(2.5) ; exp(1) ; pow(i,2) ; power(2,i) ; greatest(i,j,0) ; least(i,j) ; nullif(i,7) ; ifnull(i,0) ;
coalesce(i,j,0) ; if(b,1,2) ; CASE i WHEN 7 THEN 'x' ELSE 'y' END ; i BETWEEN 1 AND 8 ; i NOT BETWEEN 1 AND 8 ;
i IN (7,NULL) ; i NOT IN (7,8) ; i IS NOT DISTINCT FROM NULL ; b IS NOT TRUE ; b IS FALSE ; NOT b ; b AND i>3 ;
i::VARCHAR ; i::DOUBLE ; dc::INT ; TRY_CAST(s AS INT) ; s::BLOB ; CAST(i AS DECIMAL(5,1)) ; dt::TIMESTAMP ;
ts::DATE ; ts::TIME ; '5'::INT ; upper(s) ; lower(s) ; length(s) ; len(s) ; strlen(s) ; s||'x' ; concat(s,i,'z') ;
concat_ws('-',s,i) ; substr(s,2,3) ; substring(s from 2 for 3) ; s[1] ; s[2:4] ; s[-1] ; left(s,3) ; right(s,3) ;
trim(s) ; ltrim(s,'H') ; rtrim(s) ; lpad(s,15,'*') ; rpad(s,3,'*') ; repeat(s,2) ; replace(s,'l','L') ;
reverse(s) ; strpos(s,'o') ; position('o' in s) ; instr(s,'o') ; contains(s,'lo') ; starts_with(s,'He') ;
prefix(s,'He') ; suffix(s,'ld') ; ends_with(s,'ld') ; s LIKE 'H%' ; s NOT LIKE 'H%' ; s ILIKE 'h%' ;
s LIKE '%\%' ESCAPE '\' ; s SIMILAR TO 'H.*' ; s ~ 'H.*' ; s !~ 'x' ; s ~~ 'H%' ; s GLOB 'H*' ;
regexp_matches(s,'l+') ; regexp_replace(s,'l','L','g') ; regexp_replace(s,'l','L') ; regexp_extract(s,'(H)(e)',2) ;
regexp_full_match(s,'.*') ; regexp_extract_all(s,'l') ; split_part(s,',',1) ; string_split(s,',') ;
str_split(s,',') ; string_split_regex(s,'[, ]') ; ascii(s) ; chr(65) ; md5(s) ; sha256(s) ; hash(i) IS NOT NULL ;
format('{} {}',s,i) ; printf('%d-%s',i,s) ; translate(s,'l','L') ; levenshtein(s,'Hello') ; bin(i) ; hex(i) ;
to_base(i+10,16) ; encode(s) ; base64(bl) ; octet_length(bl) ; unicode(s) ; ord(s) ; nfc_normalize(s) ;
date_part('year',dt) ; extract(year from dt) ; extract(dow from dt) ; extract(isodow from dt) ;
extract(week from dt) ; extract(epoch from ts) ; extract(doy from dt) ; extract(quarter from dt) ;
extract(microsecond from ts) ; extract(hour from ts) ; year(dt) ; month(dt) ; day(dt) ; dayofweek(dt) ;
isodow(dt) ; weekday(dt) ; dayofyear(dt) ; week(dt) ; weekofyear(dt) ; quarter(dt) ; hour(ts) ; minute(ts) ;
second(ts) ; millisecond(ts) ; epoch(ts) ; epoch_ms(ts) ; epoch_us(ts) ; epoch_ns(ts) ; date_trunc('month',dt) ;
date_trunc('week',dt) ; date_trunc('hour',ts) ; date_diff('day',dt,DATE '2024-03-01') ;
datediff('month',dt,DATE '2024-03-01') ; date_sub('month',dt,DATE '2024-03-31') ; date_add(dt, INTERVAL 3 DAY) ;
dt + 1 ; dt - 1 ; dt + INTERVAL 1 MONTH ; dt - INTERVAL '1' YEAR ; ts + INTERVAL '1 hour 30 minutes' ;
dt - DATE '2020-01-01' ; ts - TIMESTAMP '2020-01-01' ; dt + i ; INTERVAL (i) DAY ; to_days(i) ; to_months(3) ;
strftime(dt,'%Y/%m/%d') ; strftime(ts,'%H:%M') ; strptime('2020-01-02','%Y-%m-%d') ; try_strptime('x','%Y') ;
make_date(2020,1,i+10) ; make_timestamp(2020,1,2,3,4,5.5) ; make_time(1,2,3) ; last_day(dt) ; monthname(dt) ;
dayname(dt) ; age(ts,TIMESTAMP '2020-01-01') ; time_bucket(INTERVAL 1 DAY, ts) ; to_timestamp(0)::VARCHAR ;
epoch_ms(1000) ; era(dt) ; century(dt) ; decade(dt) ; julian(dt) ; isfinite(d) ; isnan(d) ; isinf(d) ;
greatest(dt,DATE '2020-01-01') ; [i,j] ; [1,2,3][2] ; [1,2,3][-1] ; [1,2,3][1:2] ; list_value(1,2) ;
list_contains([1,i],7) ; list_has_any([1],[i]) ; len([1,2]) ; array_length([1,2]) ; list_sort([3,1,2]) ;
list_reverse_sort([3,1,2]) ; list_distinct([1,1])  ; list_sum([1,2]) ; list_aggregate([1,2],'sum') ;
list_transform([1,2],lambda x: x+1) ; [x*2 FOR x IN [1,2,3] IF x>1] ; list_concat([1],[2]) ; [1]||[2] ;
list_slice([1,2,3],1,2) ; flatten([[1],[2]]) ; list_zip([1],[2]) ; unnest([1,2]) ; {'a':i,'b':s} ;
struct_pack(a := i) ; row(i,s) ; {'a':i}.a ; {'a':i}['a'] ; struct_extract({'a':i},'a') ; (i,j) ; MAP {'a':1} ;
map([1],[2]) ; MAP {'a':1}['a'] ; map_keys(MAP {'a':1}) ; element_at(MAP {'a':1},'a') ; js->'a' ; js->>'c' ;
js->'$.a.b' ; js->>'$.c' ; js->'a'->'b' ; json_extract(js,'$.a') ; json_extract_string(js,'$.c') ;
json_extract(js,['$.a','$.c']) ; json_type(js) ; json_array_length(js) ; json_keys(js) ; json_valid('{}') ;
to_json({'a':i}) ; js->0 ; js->>0 ; js::VARCHAR ; json_object('a',i) ; json_array(i,s) ; typeof(i) ; typeof(1.5) ;
1e3 ; 1.50 ; 0x1F ; 1_000 ; 'it''s' ; E'a\nb' ; $$dollar$$ ; '\xAA'::BLOB ; NULL ; TRUE ; DATE '2020-01-01' ;
TIME '10:00' ; UUID '00000000-0000-0000-0000-000000000005' = u ; bit_count(i) ; '0101'::BIT ;
s COLLATE NOCASE = 'hello world' ; s < 'I' ; 2::UTINYINT + 3 ; i::HUGEINT * 10000000000 ; 1.1::FLOAT ; dc*dc ;
dc/3 ; dc+1 ; dc%5 ; d//1 ; 5//2.0 ; gcd(12,i) ; lcm(4,6) ; factorial(5) ; even(d) ; gamma(3) ; sin(d) ;
atan2(d,1) ; degrees(pi()) ; radians(180) ; cbrt(27) ; random() IS NOT NULL ; setseed(0.5) ; alias(i) ; pi() ;
s IS NULL ; i ISNULL ; i NOTNULL ; (i) ; ((i+1)*2) ; i+j*2-3 ; -(-i) ; - -3 ; +i ; i=7 OR i=2 AND b ; NOT i=7 ;
NOT (i=7 OR b) ; i<>7 ; i!=7 ; i==7 ; s IN ('ab,c') ; (i,j) IN ((7,-3)) ; CAST(b AS INT) ; b::INT ; i::BOOLEAN ;
array_value(1,2)::INT[2] ; [1,2]::BIGINT[] ; '[1,2]'::INT[] ; bar(i,0,10,10) ; s.upper() ; s.substr(1,2).lower() ;
to_hours(2) ; today() IS NOT NULL ; current_date IS NOT NULL ; date_trunc('day',ts)::VARCHAR ;
timezone('America/New_York',ts)::VARCHAR ; strftime(ts AT TIME ZONE 'America/New_York','%H') ;
nextafter(1::DOUBLE,2) ; mod(i,3) ; fdiv(7,2) ; fmod(7,2) ; add(1,2) ; subtract(3,1) ; multiply(2,3) ;
divide(7,2) ; url_encode(s) ; parse_path('/a/b') ; ucase(s) ; lcase(s) ; character_length(s) ; bit_length(s) ;
datepart('month',dt) ; date_part(['year','month'],dt) ; ceiling(d) ; list_position([1,7],i) ;
array_position([1,7],i) ; string_to_array(s,',') ; array_to_string([1,2],'-') ; list_string_agg(['a','b']) ;
regexp_split_to_array(s,',') ; equi_width_bins(0,10,2,true) ; trim(both 'H' from s) ; trim(leading 'H' from s) ;
substring(s,2) ; extract(timezone from ts) ; extract('year' from dt) ; dt = '2024-02-29' ; ts > '2020-01-01' ;
i = '7' ; '7' = i ; GREATEST(s,'M') ; s = 'x' IS NULL ; i IS NULL = b ; TRY(CAST(s AS INT)) ;
DATE '2020-01-01'::TIMESTAMP ; dt >= TIMESTAMP '2020-01-01 10:00:00'::DATE ;
TIMESTAMP WITH TIME ZONE '2020-01-01 10:00:00+05'::TIMESTAMP ; TIMESTAMP WITHOUT TIME ZONE '2020-01-01 10:00:00+05'::DATE ;
TIMESTAMP WITH TIME ZONE '2020-01-01 10:00:00+05'::DATE::VARCHAR || s ; TIME WITHOUT TIME ZONE '10:00:00'::VARCHAR ;
DECIMAL(4,2) '1.234'::VARCHAR ; INTEGER[] '[1,2]'::VARCHAR ; STRUCT(a INTEGER[]) '{a:[1]}'::VARCHAR ;
(TIME WITH TIME ZONE '10:00:00+05'::VARCHAR) || CASE '1'::INT WHEN 1 THEN '2'::INT END ;
INTERVAL '3 days 04:05:06' ; INTERVAL '14 months ago' ; ts + INTERVAL '@ 2 days ago' ; INTERVAL '-2.5 days' ; INTERVAL '3' DAY ;
date_trunc(CASE WHEN b THEN 'month' ELSE 'year' END,dt) ; datediff(if(b,'day','year'),dt,DATE '2024-03-01') ;
regexp_replace(s,'.','x','l') ; regexp_replace(s,'L','x','gi') ; regexp_replace(s,'L','x',if(true,'i','g')) ;
regexp_extract(s,'(zzz)',1,'k') ; regexp_extract_all(s,'(L)',1,'i') ; jaro_winkler_similarity(s,'HELLO',0.1) ;
jaro_winkler_similarity(s,'HELLO') ; decode(bl,'replace') ; reduce([1,2],lambda x, y: x+y,3) ;
list_reduce([1,2],lambda x, y: x+y,3) ; JSON '{ "a" : 1 }'::VARCHAR ; json_array_length(js->'a') ; json_type(js->'a'->'b') ;
to_json(js->'a') ; lower(js->>'c') ; js->'$..b' ;
json_extract(js,'$..*') ; json_extract(js,'/a/b') ; json_extract_string(js,['c','$.a']) ;
(js->'a'->>'b') = '[1,2]' ; js->-1 ;
json_array_length('[1, 2]'->'$') ; + 8 ; + i ; 1 - + 2
"""
_AGGREGATES = r"""
sum(i) ; avg(dc) ; avg(d) ; min(s) ; max(ts) ; count(*) ; count(i) ; count(DISTINCT b) ;
string_agg(s, '|' ORDER BY s) ; string_agg(s ORDER BY i) ; list(i ORDER BY i) ;
array_agg(i ORDER BY i DESC NULLS FIRST) ; list(DISTINCT b ORDER BY b) ; first(i ORDER BY i) ;
last(i ORDER BY i NULLS FIRST) ; any_value(i) IS NOT NULL ; arg_max(s,i) ; arg_min(s,i) ; max_by(s,i) ;
min_by(s,i) ; arg_max(s,i,2) ; max(i,2) ; median(d) ; mode(i % 2) ; quantile_cont(d,0.3) ; quantile_disc(d,0.3) ;
quantile_cont(i,[0.25,0.5]) ; percentile_cont(0.5) WITHIN GROUP (ORDER BY d) ;
percentile_disc(0.5) WITHIN GROUP (ORDER BY d DESC) ; approx_count_distinct(i) ; approx_quantile(d,0.5) ;
stddev(d) ; var_pop(i) ; stddev_pop(i) ; var_samp(i) ; variance(i) ; sem(i) ; skewness(i) ; kurtosis(d) ;
corr(i,j) ; covar_pop(i,j) ; covar_samp(i,j) ; regr_slope(i,j) ; regr_intercept(i,j) ; regr_r2(i,j) ;
regr_count(i,j) ; entropy(i) ; histogram(i) ; bit_and(i) ; bit_or(i) ; bit_xor(i) ; bool_and(b) ; bool_or(b) ;
product(i) ; fsum(d) ; favg(d) ; kahan_sum(d) ; mad(d) ; geomean(abs(i)) ; weighted_avg(i,abs(j)) ; count_if(i>3) ;
countif(b) ; sum(i) FILTER (WHERE b) ; sum(DISTINCT i) ; avg(DISTINCT i) ; max(s COLLATE NOCASE) ; sum(dc) ;
sum(b) ; avg(dt)::VARCHAR ; avg(ts) ; min({'a':i}) ; list(i ORDER BY i)[1] ; bitstring_agg(abs(i)::INT,0,20) ;
arbitrary(1) ; sum(i)/count(*) ; count() ; arg_max_null(s,i) ; bit_count(bit_or(i)) ;
approx_top_k(b,2)[1] IS NULL ; count(js->'a') ; max(js->>'c') ; count(js->'a'->'b') FILTER (WHERE b) ;
sum(CASE WHEN b THEN 1 ELSE 0 END) ; group_concat(DISTINCT s ORDER BY s)
"""
_WINDOWS = r"""
row_number() OVER (ORDER BY i) ; rank() OVER (ORDER BY b) ; dense_rank() OVER (ORDER BY b) ;
percent_rank() OVER (ORDER BY i) ; cume_dist() OVER (ORDER BY i) ; ntile(2) OVER (ORDER BY i) ;
lag(i) OVER (ORDER BY i) ; lag(i,1,0) OVER (ORDER BY i) ; lead(i,2) OVER (ORDER BY i) ;
first_value(i) OVER (ORDER BY i) ;
last_value(i) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ;
nth_value(i,2) OVER (ORDER BY i) ; first_value(i IGNORE NULLS) OVER (ORDER BY i NULLS FIRST) ;
lag(i IGNORE NULLS) OVER (ORDER BY j) ; sum(i) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ;
sum(i) OVER (ORDER BY i RANGE BETWEEN 5 PRECEDING AND 5 FOLLOWING) ;
sum(i) OVER (ORDER BY i GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) ;
sum(i) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) ;
count(DISTINCT b) OVER () ; sum(i) FILTER (WHERE b) OVER (PARTITION BY b) ; list(i ORDER BY i) OVER (ORDER BY i) ;
count(*) OVER (ORDER BY dt RANGE BETWEEN INTERVAL 1 YEAR PRECEDING AND CURRENT ROW) ; avg(i) OVER w ;
row_number() OVER () ; sum(sum(i)) OVER () ; median(i) OVER (PARTITION BY b) ; rank(ORDER BY i) OVER (ORDER BY b) ;
string_agg(s,',') OVER (ORDER BY i) ;
last(i IGNORE NULLS) OVER (ORDER BY j NULLS FIRST ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) ;
last(i IGNORE NULLS) OVER (ORDER BY j DESC) ; last(i) OVER (ORDER BY j DESC) ; last(i RESPECT NULLS) OVER (ORDER BY j DESC) ;
first(i IGNORE NULLS) OVER (ORDER BY j NULLS FIRST)
"""
_QUERIES = r"""
SELECT i FROM t ORDER BY i LIMIT 2 ; SELECT * FROM t ORDER BY ALL ; SELECT i FROM t ORDER BY i DESC NULLS FIRST ;
SELECT i FROM t ORDER BY i NULLS FIRST ; SELECT DISTINCT ON (b) b, i FROM t ORDER BY b, i ;
SELECT b, count(*) FROM t GROUP BY ALL ORDER BY ALL ;
SELECT b, i, sum(j) FROM t GROUP BY ROLLUP (b,i) ORDER BY ALL ;
SELECT b, i, sum(j), grouping(b) FROM t GROUP BY CUBE (b,i) ORDER BY ALL ;
SELECT b,i FROM t GROUP BY GROUPING SETS ((b),(i),()) ORDER BY ALL ; SELECT i FROM t EXCEPT SELECT 7 ORDER BY 1 ;
SELECT i FROM t EXCEPT ALL SELECT 7 ORDER BY 1 ; SELECT i FROM t INTERSECT ALL SELECT 7 ;
SELECT i AS a FROM t UNION ALL BY NAME SELECT 1 AS z, 2 AS a ORDER BY ALL ;
SELECT * FROM t a SEMI JOIN t b ON a.i=b.j ORDER BY ALL ;
SELECT a.i FROM t a ANTI JOIN t b ON a.i=b.j ORDER BY ALL ;
SELECT a.i,b.i FROM t a ASOF JOIN t b ON a.ts>=b.ts ORDER BY ALL ;
SELECT a.i, b.i FROM t a POSITIONAL JOIN t b ORDER BY ALL ;
SELECT * FROM (VALUES (1,'a'),(2,'b')) v(x,y) ORDER BY 1 ;
SELECT * FROM ((VALUES (1),(2)) l(a) FULL JOIN (VALUES (2),(3)) r(b) ON l.a = r.b) ORDER BY ALL ;
SELECT t.i, v.x FROM t LEFT JOIN ((VALUES (7)) v(x) JOIN t u ON u.i = v.x) ON t.i = u.i ORDER BY ALL ;
SELECT unnest([1,2,3]) AS x ORDER BY 1 ;
SELECT x FROM unnest([3,1]) u(x) ORDER BY 1 ; SELECT * FROM range(3) ORDER BY 1 ;
SELECT * FROM generate_series(1,3) g(z) ORDER BY 1 ; SELECT i, (SELECT max(j) FROM t) FROM t ORDER BY 1 ;
SELECT i FROM t WHERE i IN (SELECT j FROM t) ORDER BY 1 ;
SELECT i FROM t WHERE i > ANY (SELECT j FROM t) ORDER BY 1 ;
SELECT i FROM t WHERE i > ALL (SELECT j FROM t WHERE j IS NOT NULL) ORDER BY 1 ;
SELECT t.* EXCLUDE (js,bl) FROM t ORDER BY ALL ; SELECT COLUMNS('^[ij]$') FROM t ORDER BY ALL ;
SELECT min(COLUMNS(['i','j'])) FROM t ; SELECT * LIKE 'd%' FROM t ORDER BY ALL ;
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n<5) SELECT sum(n) FROM r ;
SELECT i FROM t QUALIFY row_number() OVER (PARTITION BY b ORDER BY i)=1 ORDER BY 1 ;
SELECT i AS x, x+1 AS y FROM t WHERE x > 0 ORDER BY y ; FROM t SELECT i ORDER BY i ; FROM t ORDER BY ALL ;
SELECT i FROM t LIMIT 50% ; SELECT i FROM t ORDER BY i OFFSET 1 ;
SELECT i FROM t ORDER BY i FETCH FIRST 2 ROWS ONLY ;
SELECT a.i FROM t a, LATERAL (SELECT a.i+1 AS z) q WHERE q.z>3 ORDER BY 1 ;
SELECT a.i, q FROM t a, (SELECT a.i+1) AS s(q) ORDER BY 1 ; SELECT t FROM t ORDER BY i ;
SELECT i FROM t TABLESAMPLE 100% ; SELECT avg(i) OVER w FROM t WINDOW w AS (PARTITION BY b) ORDER BY 1 ;
SELECT i FROM t WHERE (i,j) IN (SELECT i,j FROM t) ORDER BY 1 ;
SELECT CASE WHEN EXISTS (SELECT 1 FROM t WHERE i=7) THEN 1 END ; SELECT array(SELECT i FROM t ORDER BY i) ;
SELECT i, count(*) FROM t GROUP BY i HAVING count(*) > 0 ORDER BY 2 DESC, 1 ;
SELECT i%2 AS m FROM t GROUP BY m ORDER BY m ; SELECT 1 AS "Weird Name", 2 AS "select" ;
SELECT "i" FROM "t" ORDER BY "i" ; SELECT t.i FROM main.t ORDER BY main.t.i ;
SELECT max(i) AS i FROM t HAVING max(i)>1 ; SELECT s FROM t ORDER BY s COLLATE NOCASE ;
SELECT i FROM t UNION SELECT j FROM t ORDER BY 1 LIMIT 2 ;
(SELECT i FROM t ORDER BY i LIMIT 1) UNION ALL (SELECT 5) ORDER BY 1 ;
SELECT * FROM t NATURAL JOIN t b ORDER BY ALL ; SELECT t.i, v, x FROM t, unnest([5, 6]) u(v)
RIGHT JOIN (VALUES (6), (8)) w(x) ON x = v ORDER BY ALL ;
SELECT * FROM (SELECT 1 AS id), unnest([1, 2]) u(id) NATURAL JOIN (SELECT 2 AS id) w, unnest([3]) x ORDER BY ALL ;
SELECT i FROM t CROSS JOIN range(2) r(x) ORDER BY ALL ;
SELECT * FROM json_each('[1,2]') ORDER BY 1 ; SELECT j FROM t a LEFT JOIN (SELECT 5 AS j) b USING (j) ORDER BY 1 ;
FROM VALUES (1), (7) v(x), t SELECT x, i ORDER BY ALL ; FROM VALUES (1), (7) v(x) JOIN t ON i = x SELECT x, i ;
FROM unnest([1, 7]) v(x), t SELECT x, i ORDER BY ALL ; FROM LATERAL (SELECT 7) v(x) JOIN t ON i = x JOIN t u ON u.i = x SELECT x ;
SELECT v.x, y FROM VALUES (1), (2) AS v(x), VALUES (3) w(y) ORDER BY ALL ; FROM unnest([1, 7]) v(x), t SELECT count(*) ;
SELECT i FROM t ORDER BY i LIMIT 10 % 4 ; SELECT i FROM t ORDER BY i LIMIT 3 + 10 % 4 * 2 OFFSET 10 % 3 ;
SELECT i FROM t ORDER BY i LIMIT 1 << 1 ; SELECT i FROM t ORDER BY i LIMIT 5 & 3 ;
SELECT count(*) FROM (FROM t LIMIT (2 + 1) % 2) ;
SELECT i FROM t ORDER BY i LIMIT 50 % OFFSET 1 ; (SELECT i FROM t ORDER BY i LIMIT 50 %) ;
SELECT i IN (SELECT j FROM t)::INTEGER AS x FROM t ORDER BY 1 ; SELECT i NOT IN (1, 7)::INTEGER AS x FROM t ORDER BY 1 ;
SELECT NOT i IN (SELECT 7)::INTEGER AS x, i IN (7)::INTEGER::VARCHAR AS y FROM t WHERE i IN (7, 2)::BOOLEAN ORDER BY 1 ;
SELECT * RENAME (i AS ii) FROM t ORDER BY ALL ; SELECT range FROM range(9) WHERE range < 3 ORDER BY 1 ;
SELECT date_trunc(unit, dt), date_diff(unit, dt, DATE '2024-03-01') FROM (SELECT dt, if(b, 'month', 'year') AS unit FROM t)
ORDER BY ALL ; SELECT b, count(*) FROM t GROUP BY b, + 2, + -9 ORDER BY ALL ;
SELECT b, count(*) FROM t GROUP BY + 1, b ORDER BY ALL ;
SELECT count(*) FROM ((SELECT i FROM t) v JOIN (SELECT i FROM t WHERE i > 2) u ON u.i = v.i) ;
SELECT count(*), sum(v.i) FROM ((SELECT i FROM t) v JOIN t u ON u.i = v.i) ;
SELECT count(*) FROM ((SELECT i FROM t) CROSS JOIN t u) ;
SELECT count(*) FROM ((((SELECT i FROM t) v CROSS JOIN (SELECT j FROM t) u)) CROSS JOIN t x) ;
SELECT count(*) FROM t x JOIN ((SELECT i FROM t) v CROSS JOIN t u) ON x.i = u.i ;
SELECT z.i FROM ((SELECT i FROM t) v JOIN (SELECT j FROM t) u ON u.j = v.i) AS z ;
SELECT x, count(*) FROM ((SELECT i FROM t) AS v(x)) GROUP BY x ORDER BY ALL ;
SELECT i FROM t WHERE EXISTS (FROM ((SELECT 7 AS i) v JOIN t u ON u.i = v.i) WHERE v.i = t.i) ;
SELECT (SELECT max(u.j) FROM ((SELECT i FROM t) v JOIN t u ON u.i = v.i) WHERE v.i = t.i) FROM t ;
WITH c AS (SELECT * FROM ((SELECT i FROM t) v JOIN (SELECT i AS k, j FROM t) u ON k = i)) SELECT sum(j), count(*) FROM c ;
SELECT count(*) FROM ((SELECT b FROM t) v JOIN (SELECT i FROM t WHERE i > 3) u ON true) UNION ALL SELECT count(*)
FROM ((SELECT 1) v JOIN t ON true) ;
SELECT sum(k) FROM ((SELECT i FROM t) v CROSS JOIN LATERAL (SELECT u.j AS k FROM t u WHERE u.i = v.i) l) ;
SELECT * FROM ((SELECT i FROM t) v ANTI JOIN (SELECT * FROM t WHERE i > 3) u ON u.i = v.i) ;
SELECT u.* FROM ((SELECT i, j FROM t) v JOIN (SELECT i FROM t WHERE i > 3) u ON true) ;
SELECT i, stddev_pop(d / 0), var_pop('inf'::DOUBLE), var_samp('nan'::DOUBLE) FROM t GROUP BY i ORDER BY ALL ;
SELECT list < 2, "array" < 3 FROM (SELECT i AS list, i AS "array" FROM t) ORDER BY ALL ;
SELECT l[n], s[n], s[n + 1] FROM (SELECT string_split(s, 'l') AS l, s, 1 AS n FROM t) ORDER BY ALL ;
SELECT l[n], count(*) FROM (SELECT string_split(s, 'l') AS l, length(s) // 4 AS n FROM t) GROUP BY l[n] ORDER BY ALL ;
WITH c AS (SELECT [i, j] AS l, 2 AS n FROM t) SELECT max(l[n - 1]), min(l[n]) FROM c WHERE l[n] > 0 ;
SELECT i, list(s ORDER BY i)[count(*)], list(s)[1][1:2][2] FROM t GROUP BY i ORDER BY ALL ;
SELECT * FROM (unnest([7, 2]) v(x) JOIN t ON i = x) ORDER BY ALL ;
SELECT t.i, x FROM t, (unnest([t.i, 2]) v(x) LEFT JOIN (SELECT 7 AS y) w ON x = y) ORDER BY ALL ;
SELECT s LIKE '%!%' ESCAPE chr(33), s NOT ILIKE e || '%' ESCAPE e AND b FROM t, (SELECT '!' AS e) ORDER BY ALL ;
SELECT i FROM t ORDER BY i LIMIT (SELECT 50) % ; SELECT i FROM t ORDER BY i LIMIT (25 + 25)% OFFSET 1
"""


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(" ;")]


QUERIES = [
    *(f"SELECT {each} FROM t" for each in (*_split(_ROWS), *_split(_AGGREGATES))),
    *(f"SELECT {each} FROM t{' WINDOW w AS (ORDER BY i)' if each.endswith(' w') else ''}" for each in _split(_WINDOWS)),
    *_split(_QUERIES),
]
