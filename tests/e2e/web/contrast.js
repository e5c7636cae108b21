// SPDX-License-Identifier: MIT
// All texts of the page that are hard to read: their contrast to what is behind them is low.
(() => {
	const lum = c => {
		const v = c.map(x => {
			x /= 255;
			return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
		});
		return .2126 * v[0] + .7152 * v[1] + .0722 * v[2];
	};
	const parse = s => s.match(/[\d.]+/g).map(Number);
	const low = [];
	for (const e of document.querySelectorAll('body *')) {
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
				|| !e.offsetParent || e.tagName === 'OPTION')
			continue;
		let at = e, back = null;
		for (; at && !back; at = at.parentElement) {
			const c = parse(getComputedStyle(at).backgroundColor);
			if (c.length === 3 || c[3] === 1)
				back = c;
		}
		const a = lum(parse(getComputedStyle(e).color)), b = lum(back);
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (ratio < 4.5)
			low.push([e.className, e.innerText, ratio]);
	}
	return low;
})()
