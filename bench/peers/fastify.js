// Fastify with its own jwt, rate-limit (Redis) and helmet plugins, node-pg in
// pipeline mode, a cluster of two; the JSON made by PostgreSQL
const cluster = require('cluster');
const crypto = require('crypto');
const { createRequire } = require('module');

const modules = createRequire(process.env.BENCH_NODE + '/');
const { Pool } = modules('pg');
const Redis = modules('ioredis');

const SECRET = process.env.SUPABASE_JWT_SECRET;
const LIST = `
  select coalesce(json_agg(page), '[]')::text as json from (
    select id, name, mime, size_bytes, status, created_at from knowledge_files
    order by created_at desc, id desc limit $1) page`;

const ADD = 'insert into note (user_id, title, body) values ($1, $2, $3) returning id';
const TRAIL = `
  insert into trail (user_id, action, resource, request_id, ip, details)
  values ($1, 'note.create', 'note/' || $2::text, $3, $4, $5)`;
const NOTE = {
  type: 'object',
  required: ['title', 'body_text'],
  properties: { title: { type: 'string' }, body_text: { type: 'string' } },
};

const pool = () => new Pool({
  host: process.env.PGHOST, port: 5432, user: 'app', database: 'bench', max: 8, min: 8, pipeline: true,
});

const redis = () => new (Redis.default || Redis)({
  host: '127.0.0.1', port: +process.env.BENCH_REDIS_PORT, enableAutoPipelining: true,
});

async function list(connection, user, limit) {
  const [, , page] = await Promise.all([
    connection.query('BEGIN'),
    connection.query({ name: 'user', text: "select set_config('app.user_id', $1, true)", values: [user] }),
    connection.query({ name: 'list', text: LIST, values: [limit] }),
    connection.query('COMMIT'),
  ]);
  return '{"items":' + page.rows[0].json + '}';
}

// The trail's row names the note, so it waits for the note's id
async function add(connection, request) {
  const { user: { sub }, body: { title, body_text: body } } = request;
  try {
    const [, , added] = await Promise.all([
      connection.query('BEGIN'),
      connection.query({ name: 'user', text: "select set_config('app.user_id', $1, true)", values: [sub] }),
      connection.query({ name: 'add', text: ADD, values: [sub, title, body] }),
    ]);
    const { id } = added.rows[0];
    await Promise.all([
      connection.query({ name: 'trail', text: TRAIL, values: [sub, id, request.id, request.ip, JSON.stringify({ title })] }),
      connection.query('COMMIT'),
    ]);
    return { id };
  } catch (error) {
    await connection.query('ROLLBACK');
    throw error;
  }
}

async function guards(app) {
  await app.register(modules('@fastify/jwt'), {
    secret: SECRET,
    verify: { cache: false, algorithms: ['HS256'], allowedIss: process.env.BENCH_ISSUER, allowedAud: process.env.BENCH_AUDIENCE },
  });
  await app.register(modules('@fastify/helmet'));
  await app.register(modules('@fastify/rate-limit'), {
    redis: redis(), max: 1000000000, timeWindow: 60000, hook: 'preHandler', keyGenerator: (request) => request.user.sub,
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    try { await request.jwtVerify(); } catch (error) { reply.code(401); throw error; }
  });
}

async function serve() {
  const app = modules('fastify')({ logger: false, genReqId: () => crypto.randomUUID() });
  const connections = pool();
  await guards(app);
  app.get('/api/v1/knowledge/files', async (request, reply) => {
    const connection = await connections.connect();
    try {
      reply.type('application/json');
      return await list(connection, request.user.sub, Math.min(+(request.query.limit || 50), 100));
    } finally {
      connection.release();
    }
  });
  app.post('/api/v1/notes', { schema: { body: NOTE } }, async (request, reply) => {
    const connection = await connections.connect();
    try {
      reply.code(201);
      return await add(connection, request);
    } finally {
      connection.release();
    }
  });
  await app.listen({ port: +process.env.BENCH_PORT, host: '127.0.0.1' });
}

if (cluster.isPrimary) for (let i = 0; i < 2; i++) cluster.fork();
else serve();
