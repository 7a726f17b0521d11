// SPDX-License-Identifier: Apache-2.0
// The admin's page. Everything that it shows came from peers and files: it enters the document as text only.
'use strict';

const EVERY_MS = 2000, NODES = 24, EDGES = 60, REFUSALS = 100, SHOWN = 12, CONNECTIONS = 50, SERVED = 20;
const COUNTS = ['connections', 'requests', 'refused', 'failed', 'bytesReceived', 'bytesSent'];
const byId = (id) => document.getElementById(id);

function el(name, attrs, ...children) {
	const e = document.createElement(name);
	for (const [k, v] of Object.entries(attrs || {}))
		e.setAttribute(k, v);
	e.append(...children.map(String));
	return e;
}

function svg(name, attrs, text) {
	const e = document.createElementNS('http://www.w3.org/2000/svg', name);
	for (const [k, v] of Object.entries(attrs))
		e.setAttribute(k, v);
	if (text !== undefined)
		e.textContent = text;
	return e;
}

// ---- words

function amount(n) {
	const units = ['', 'k', 'M', 'G', 'T'];
	let i = 0;
	while (n >= 9999.5 && i < units.length - 1) {
		n /= 1000;
		i++;
	}
	return (n < 10 && n % 1 ? n.toFixed(1) : Math.round(n)) + units[i];
}

const rate = (n) => n === null ? '–' : amount(n);

function duration(s) {
	const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
	return d ? `${d}d ${h}h` : h ? `${h}h ${m}m` : m ? `${m}m ${Math.floor(s % 60)}s` : `${Math.floor(s)}s`;
}

// "ns/sa" of a SPIFFE ID; what is none stays.
function short(name) {
	const m = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/(.+)$/.exec(name);
	return m ? `${m[1]}/${m[2]}` : name;
}

function cut(text, n) {
	return text.length > n ? text.slice(0, n - 1) + '…' : text;
}

// ---- tables

function fill(id, rows, none) {
	const body = byId(id).tBodies[0];
	const width = byId(id).tHead.rows[0].cells;
	body.replaceChildren(...rows.map((cells) => {
		const tr = el('tr');
		cells.forEach((c, i) => {
			const cell = c instanceof Object ? c : { text: c };
			const td = el('td', { class: `${width[i].className} ${cell.class || ''}` }, cell.text);
			if (cell.title)
				td.title = cell.title;
			tr.append(td);
		});
		return tr;
	}));
	if (!rows.length)
		body.append(el('tr'));
	if (!rows.length)
		body.rows[0].append(el('td', { colspan: width.length, class: 'note' }, none));
}

// ---- who talks to whom

let last = null;         // the counts of the last read, by edge

// What both ends of a connection tell, when both are here, is one thing.
function merged(answer) {
	const edges = new Map();
	for (const e of answer.edges) {
		const to = e.destination !== 'unknown' ? e.destination : e.service || 'unknown';
		const key = JSON.stringify([e.source, to, e.service]);
		const m = edges.get(key) || { key, from: e.source, to, service: e.service, count: {}, rate: {} };
		for (const c of COUNTS)
			m.count[c] = Math.max(m.count[c] || 0, e[c]);
		edges.set(key, m);
	}
	return edges;
}

function rated(edges) {
	const now = performance.now(), seconds = last ? (now - last.at) / 1000 : 0;
	const counts = new Map();
	for (const e of edges.values()) {
		const before = last && last.counts.get(e.key);
		for (const c of COUNTS) {
			const d = last ? e.count[c] - (before ? before[c] : 0) : 0;
			e.rate[c] = seconds > 0 && d >= 0 ? d / seconds : null;
		}
		e.done = (e.rate.requests || 0) + (e.rate.connections || 0);
		counts.set(e.key, e.count);
	}
	last = { at: now, counts };
	return [...edges.values()].sort((a, b) => b.done - a.done || b.count.requests + b.count.connections - a.count.requests - a.count.connections);
}

// What happened to most of it.
function verdict(c) {
	const all = Math.max(c.requests + c.connections, c.refused, c.failed);
	return 2 * c.refused > all ? 'refused' : 2 * c.failed > all ? 'failed' : 'ok';
}

// Between identities, whatever the service; those with the least to do are one node.
function summed(edges) {
	const weight = new Map(), links = new Map();
	for (const e of edges)
		for (const n of [e.from, e.to])
			weight.set(n, (weight.get(n) || 0) + e.done * 1e6 + e.count.requests + e.count.connections + e.count.refused);
	const names = [...weight.keys()].sort((a, b) => weight.get(b) - weight.get(a));
	const kept = new Set(names.length > NODES ? names.slice(0, NODES - 1) : names);
	const others = `${names.length - kept.size} others`;
	for (const e of edges) {
		const from = kept.has(e.from) ? e.from : others, to = kept.has(e.to) ? e.to : others;
		const key = JSON.stringify([from, to]);
		const l = links.get(key) || { from, to, count: {}, rate: {} };
		for (const c of COUNTS) {
			l.count[c] = (l.count[c] || 0) + e.count[c];
			l.rate[c] = e.rate[c] === null ? null : (l.rate[c] || 0) + e.rate[c];
		}
		links.set(key, l);
	}
	return [...links.values()];
}

// Who only asks is left, who only answers right, the others between.
function placed(links) {
	const nodes = new Map(), column = [[], [], []];
	for (const l of links) {
		for (const n of [l.from, l.to])
			if (!nodes.has(n))
				nodes.set(n, { name: n });
		nodes.get(l.from).asks = nodes.get(l.to).answers = true;
	}
	for (const n of nodes.values()) {
		n.column = !n.answers ? 0 : n.asks ? 1 : 2;
		column[n.column].push(n);
	}
	const used = column.filter((c) => c.length), rows = Math.max(...column.map((c) => c.length), 1);
	used.forEach((c, x) => c.forEach((n, y) => {
		n.x = 10 + x * (used.length > 2 ? 370 : 560);
		n.y = Math.round((y + .5 + (rows - c.length) / 2) * 58) - 20;
	}));
	return { nodes, height: rows * 58 + 8 };
}

const W = 240, H = 40;

// A line with its arrow head, and where its label is.
function curve(a, b) {
	const ay = a.y + H / 2, by = b.y + H / 2;
	if (a === b)
		return { d: `M${a.x + W},${ay - 8} c45,-20 45,36 0,16 m6,-5 l-6,5 l7,3`, x: a.x + W + 50, y: ay };
	if (a.column !== b.column) {
		const bend = (b.x - a.x - W) / 2;
		return { d: `M${a.x + W},${ay} C${a.x + W + bend},${ay} ${b.x - bend},${by} ${b.x},${by} m-7,-4 l7,4 l-7,4`,
			x: a.x + W + bend, y: (ay + by) / 2 };
	}
	const right = ay < by, side = right ? a.x + W : a.x, out = right ? 55 : -55, head = right ? 7 : -7;
	return { d: `M${side},${ay} C${side + out},${ay} ${side + out},${by} ${side},${by} m${head},-4 l${-head},4 l${head},4`, x: side + out * .75, y: (ay + by) / 2 };
}

function words(l) {
	const parts = [];
	for (const c of ['requests', 'connections', 'refused', 'failed'])
		if (l.count[c])
			parts.push(`${amount(l.count[c])} ${c}` + (l.rate[c] ? ` (${rate(l.rate[c])}/s)` : ''));
	return parts.join(', ');
}

function labelled(at, l) {
	const n = (l.rate.requests || 0) + (l.rate.connections || 0), e = svg('text', { x: at.x, y: at.y + 4, class: 'small rate' });
	const put = (kind, text) => e.append(svg('tspan', { class: kind }, text));
	if (n)
		put(verdict(busy(l) ? l.rate : l.count), `${rate(n)}/s `);
	for (const kind of ['refused', 'failed'])
		if (l.count[kind])
			put(kind, `${amount(l.count[kind])} ${kind} `);
	return e;
}

function draw(links) {
	const { nodes, height } = placed(links), g = byId('graph'), lines = [], labels = [];
	for (const l of links) {
		const c = curve(nodes.get(l.from), nodes.get(l.to)), kind = verdict(busy(l) ? l.rate : l.count);
		const path = svg('path', { d: c.d, class: kind, 'stroke-width': 1.5 + Math.min(3, .7 * Math.log2(1 + (l.rate.requests || 0) + (l.rate.connections || 0))) });
		path.append(svg('title', {}, `${l.from} to ${l.to}: ${words(l)}`));
		lines.push(path);
		labels.push(labelled(c, l));
	}
	for (const n of nodes.values()) {
		const box = svg('g', { class: 'node' });
		const known = n.name.startsWith('spiffe://');
		box.append(svg('title', {}, n.name), svg('rect', { x: n.x, y: n.y, width: W, height: H, rx: 8 }),
			svg('text', { x: n.x + 12, y: n.y + 17 }, cut(short(n.name), 27)),
			svg('text', { x: n.x + 12, y: n.y + 32, class: 'small' }, known ? cut(n.name.split('/')[2], 33) : 'no identity was proven'));
		labels.push(box);
	}
	g.setAttribute('viewBox', `0 0 1000 ${height}`);
	g.replaceChildren(...lines, ...labels);
}

const busy = (l) => (l.rate.requests || 0) + (l.rate.connections || 0) + (l.rate.refused || 0) > 0;

function showTraffic(answer) {
	const edges = rated(merged(answer)), all = {};
	draw(summed(edges));
	fill('edges', edges.slice(0, EDGES).map((e) => [
		{ text: short(e.from), title: e.from }, { text: short(e.to), title: e.to }, e.service, amount(e.count.connections), amount(e.count.requests),
		rate(e.rate.requests === null ? null : e.done), { text: amount(e.count.refused), class: e.count.refused ? 'refused' : '' },
		{ text: amount(e.count.failed), class: e.count.failed ? 'failed' : '' }, amount(e.count.bytesReceived + e.count.bytesSent),
		rate(e.rate.bytesSent === null ? null : e.rate.bytesReceived + e.rate.bytesSent),
	]), 'Nothing has come by yet.');
	for (const c of COUNTS)
		all[c] = edges.length && edges[0].rate[c] === null ? null : edges.reduce((n, e) => n + (e.rate[c] || 0), 0);
	return all;
}

// ---- the rest

function figures(status, all) {
	const one = (name, value) => {
		const d = el('div');
		d.append(el('dt', {}, name), el('dd', {}, value));
		return d;
	};
	byId('figures').replaceChildren(
		one('inbound now', amount(status.connections.inbound)), one('outbound now', amount(status.connections.outbound)),
		one('requests/s', rate(all.requests)), one('connections/s', rate(all.connections)), one('refused/s', rate(all.refused)),
		one('failed/s', rate(all.failed)), one('bytes/s', rate(all.bytesSent === null ? null : all.bytesSent + all.bytesReceived)));
}

// The newest of those that are alike, and how many they are.
function alike(list) {
	const groups = new Map();
	for (const r of list) {
		const from = r.sourceIdentity || r.sourceWorkload || r.source, to = r.destinationWorkload || r.hboneAddress || r.destination;
		const what = `${from} → ${to}` + (r.method ? ` · ${r.method} ${r.host || ''}${r.path || ''}` : '') + (r.status ? ` · ${r.status}` : '');
		const key = JSON.stringify([r.error, r.detail, what, r.policy, r.rule, r.direction]);
		const g = groups.get(key) || { ...r, what, times: 0 };
		g.times++;
		groups.set(key, g);
	}
	return [...groups.values()];
}

function showRefusals(list) {
	byId('refusals').replaceChildren(...alike(list).slice(0, SHOWN).map((r) => {
		const li = el('li'), head = el('p');
		head.append(el('strong', {}, r.error), (r.detail ? `: ${r.detail}` : '') + (r.times > 1 ? ` (${r.times} times)` : ''));
		li.append(head, el('p', {}, r.what));
		if (r.policy)
			li.append(el('p', {}, `policy ${r.policy}` + (r.rule ? `, rule ${r.rule}` : '')));
		if (r.wouldAllow)
			li.append(el('p', { class: 'note' }, 'What would have allowed it:'), el('pre', {}, r.wouldAllow));
		else if (r.hint)
			li.append(el('p', { class: 'note' }, r.hint));
		li.append(el('p', { class: 'note' }, `${r.time} · ${r.direction} · meshd why ${r.id}`));
		return li;
	}));
	if (!list.length)
		byId('refusals').append(el('li', { class: 'note' }, 'Nothing was refused.'));
}

function showCertificates(list) {
	fill('certificates', list.map((c) => {
		const end = c.certChain.length ? Date.parse(c.certChain[0].expirationTime) : NaN, left = (end - Date.now()) / 1000;
		return [c.identity, { text: c.state, class: c.state === 'Available' ? 'ok' : 'refused' },
			Number.isNaN(end) ? '' : left > 0 ? { text: duration(left), class: left < 3600 ? 'failed' : '' } : { text: 'expired', class: 'refused' },
			Number.isNaN(end) ? '' : c.certChain[0].expirationTime];
	}), 'There are none.');
}

function showServed(w) {
	const services = w ? Object.entries(w.services) : [], more = services.length - SERVED;
	byId('served').textContent = !w ? '' : 'As a waypoint: ' + services.slice(0, SERVED).map(([name, ports]) => `${name}:${ports.join(',')}`).join(', ') +
		(more > 0 ? ` and ${more} services more` : services.length ? '' : 'no service') + (w.workloads ? `; ${w.workloads} workloads by their own addresses` : '');
}

function showConfiguration(s) {
	byId('generation').textContent = `Generation ${s.generation}: ${s.objects.workloads} workloads, ${s.objects.services} services, ${s.objects.policies} policies.`;
	const list = s.findings.map((f) => el('li', { class: f.level === 'error' ? 'refused' : 'failed' }, `${f.level}: ${f.text}`));
	for (const b of s.bypasses)
		list.push(el('li', { class: 'failed' }, `${b.connections} connections of ${b.peer} reached ${b.workload} past its waypoint ${b.waypoint}`));
	for (const [what, times] of Object.entries(s.limits))
		if (times)
			list.push(el('li', { class: 'failed' }, `limit met ${times} times: ${what}`));
	byId('findings').replaceChildren(...list.length ? list : [el('li', { class: 'note' }, 'No errors and no warnings.')]);
}

function showConnections(answer) {
	fill('connections', answer.connections.map((c) => [
		c.direction, c.protocol, c.src, c.actualDst + (c.service ? ` (${c.service})` : ''), c.peer, amount(c.bytesReceived), amount(c.bytesSent),
		duration(c.ageMs / 1000)]), 'There are none.');
	const more = answer.total - answer.connections.length;
	byId('more').textContent = more > 0 ? `and ${more} more` : '';
}

function show([status, traffic, why, connections]) {
	byId('mode').textContent = `${status.mode} · ${status.version}`;
	byId('state').textContent = (status.ready ? 'ready' : `not ready, waiting for ${status.pending}`) + ` · up ${duration(status.uptimeSeconds)}`;
	byId('state').className = status.ready ? 'ok' : 'failed';
	document.title = `meshd ${status.mode}`;
	figures(status, showTraffic(traffic));
	byId('causes').replaceChildren(...status.refusalsByCause.map((c) => el('li', {}, `${amount(c.count)} × ${c.reason}` + (c.remedy ? `: ${c.remedy}` : ''))));
	showRefusals(why);
	showCertificates(status.certificates);
	fill('workloads', status.workloads.map((w) => [w.name, { text: w.state, class: w.state === 'Up' ? 'ok' : 'failed' }, w.identity || '',
		{ text: w.problem || '', class: 'refused' }]), 'There are none.');
	showServed(status.waypoint);
	showConfiguration(status);
	showConnections(connections);
}

async function read(path) {
	const r = await fetch(path);
	if (!r.ok)
		throw new Error(`${path}: ${r.status}`);
	return r.json();
}

async function turn() {
	const paused = byId('pause').getAttribute('aria-pressed') === 'true';
	const trouble = byId('trouble');
	try {
		if (!paused && !document.hidden)
			show(await Promise.all(['status', 'traffic', `why?max=${REFUSALS}`, `connections?max=${CONNECTIONS}`].map(read)));
		trouble.hidden = true;
	} catch (e) {
		trouble.textContent = `This process does not answer; what is shown is old. ${e.message}`;
		trouble.hidden = false;
	}
	setTimeout(turn, EVERY_MS);
}

byId('live').hidden = false;
byId('pause').addEventListener('click', (e) => {
	const on = e.target.getAttribute('aria-pressed') !== 'true';
	e.target.setAttribute('aria-pressed', on);
	e.target.textContent = on ? 'Go on' : 'Pause';
});
turn();
