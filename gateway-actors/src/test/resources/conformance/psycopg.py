# Shows what a client of psycopg2 is shown; the connection is described by libpq's environment variables.
import io
import psycopg2
import psycopg2.extras

connection = psycopg2.connect("")


def run(cursor, sql, parameters=None):
    try:
        cursor.execute(sql, parameters)
        print(cursor.statusmessage, cursor.fetchall() if cursor.description else cursor.rowcount)
        print([(column.name, column.type_code) for column in cursor.description or []])
    except psycopg2.Error as error:
        print("error", error.pgcode, error.pgerror)


def show(cursor, connection):
    run(cursor, "SELECT %s::int, %s::text, NULL, 1.5::numeric, '{1,2}'::int[]", (1, "x"))
    run(cursor, "SELECT 1; SELECT 2")
    run(cursor, "SELEC")
    run(cursor, "SELECT 1")
    connection.rollback()
    run(cursor, "CREATE TABLE p (a int, t text)")
    psycopg2.extras.execute_values(cursor, "INSERT INTO p VALUES %s", [(i, "t" * i) for i in range(300)])
    connection.commit()
    cursor.copy_expert("COPY p FROM STDIN", io.StringIO("1000\tcopied\n1001\tcopied too\n"))
    out = io.StringIO()
    cursor.copy_expert("COPY (SELECT * FROM p ORDER BY a) TO STDOUT", out)
    print(len(out.getvalue()), out.getvalue()[-40:])
    connection.commit()
    try:
        cursor.copy_expert("COPY p FROM STDIN", io.StringIO("no number\n"))
    except psycopg2.Error as error:
        print("error", error.pgcode)
    connection.rollback()
    with connection.cursor("named") as named:
        named.itersize = 7
        named.execute("SELECT a FROM p ORDER BY a")
        print([row[0] for row in named])
    connection.commit()
    large = connection.lobject(0, "wb")
    large.write(b"x" * 100000)
    large.close()
    print(len(connection.lobject(large.oid, "rb").read()))
    connection.lobject(large.oid).unlink()
    connection.commit()
    run(cursor, "SELECT length(%s)", ("y" * 100000,))
    cursor.callproc("upper", ("called",))
    print(cursor.fetchall())
    connection.rollback()
    connection.set_session(isolation_level="SERIALIZABLE", readonly=True)
    run(cursor, "INSERT INTO p VALUES (1)")
    connection.rollback()
    connection.set_session(isolation_level="DEFAULT", readonly=False, autocommit=True)
    run(cursor, "SET application_name = 'psycopg'")
    run(cursor, "SHOW application_name")
    run(cursor, "DO $$BEGIN RAISE NOTICE 'hello'; END$$")
    print(connection.notices)
    run(cursor, "LISTEN c")
    run(cursor, "NOTIFY c, 'payload'")
    connection.poll()
    print([(n.channel, n.payload) for n in connection.notifies])
    run(cursor, "PREPARE twice (int) AS SELECT $1 * 2")
    run(cursor, "EXECUTE twice (4)")
    run(cursor, "DROP TABLE p")


with connection.cursor() as main:
    show(main, connection)
connection.close()
