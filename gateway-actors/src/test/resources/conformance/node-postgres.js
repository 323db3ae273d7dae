// Shows what a client of node-postgres is shown; the connection is described by libpq's environment variables.
const { Client } = require('pg')

const tls = process.env.PGSSLMODE === 'require' ? { rejectUnauthorized: false } : false

async function run(client, query) {
  try {
    const results = [await client.query(query)].flat()
    for (const result of results) {
      console.log(result.command, result.rowCount, JSON.stringify(result.rows))
      console.log(result.fields.map(field => [field.name, field.dataTypeID, field.format]))
    }
  } catch (error) {
    console.log('error', error.code, error.message)
  }
}

async function main() {
  const client = new Client({ ssl: tls })
  client.on('notice', notice => console.log('notice', notice.message))
  client.on('notification', message => console.log('notification', message.channel, message.payload))
  await client.connect()
  await run(client, 'SELECT 1 AS one; SELECT 2 AS two')
  await run(client, { text: 'SELECT $1::int AS a, $2::text AS b', values: [1, 'x'] })
  await run(client, { text: 'SELECT $1::int AS a', values: ['no number'] })
  for (let i = 0; i < 4; i++) {
    await run(client, { name: 'named', text: 'SELECT $1::int * 2 AS twice', values: [i] })
  }
  await run(client, { name: 'broken', text: 'SELEC' })
  await run(client, { name: 'broken', text: 'SELECT 1 AS repaired' })
  // Asked before the answers to the others are there: the driver puts them in a queue.
  await Promise.all([1, 2, 3].map(i => run(client, { text: 'SELECT $1::int AS n', values: [i] })))
  await run(client, 'CREATE TABLE n (a int, j jsonb)')
  await run(client, 'BEGIN')
  await run(client, { text: 'INSERT INTO n VALUES ($1, $2) RETURNING *', values: [1, { b: [true, null] }] })
  await run(client, 'INSERT INTO nowhere VALUES (1)')
  await run(client, 'SELECT 1')
  await run(client, 'ROLLBACK')
  await run(client, 'SELECT count(*) FROM n')
  await run(client, { text: 'SELECT length($1) AS length', values: ['y'.repeat(100000)] })
  await run(client, { text: 'SELECT a, b FROM generate_series(1, 3) a, generate_series(1, 2) b', rowMode: 'array' })
  await run(client, "SET statement_timeout = '30ms'")
  await run(client, 'SELECT pg_sleep(10)')
  await run(client, 'RESET statement_timeout')
  await run(client, "DO $$BEGIN RAISE NOTICE 'hello'; END$$")
  await run(client, 'LISTEN c')
  await run(client, "NOTIFY c, 'payload'")
  await run(client, 'UNLISTEN c')
  await run(client, 'DROP TABLE n')
  await client.end()
}

main()
